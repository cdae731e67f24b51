"""Calls that are sent to a kept process while it is busy with others."""

TASKS = """
@bandsaw.task
def held(name):
    open(name + " begun", "x").close()
    until(name)
    return name

@bandsaw.task
def marked(number):
    open(f"ran {number}", "x").close()
    return number

@bandsaw.task(chain="two")
def linked(number, needed=None):
    if needed is not None:
        until(f"ran {needed}")
    open(f"ran {number}", "x").close()
    return number

@bandsaw.task(chain="two")
def fatal(number):
    if number == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    open(f"fatal {number}", "x").close()
    return number

def until(name):
    end = time.monotonic() + 60
    while not os.path.exists(name):
        assert time.monotonic() < end
        time.sleep(0.001)

def behind_a_held_one():
    # Only behind short calls, and of kinds that the process knows, others are sent ahead.
    open("first", "x").close()
    assert held("first") == "first"
    before = [marked.submit(-number) for number in range(1, 60)]
    stuck = held.submit("open")
    behind = [marked.submit(number) for number in range(60)]
    until("open begun")
    return before, stuck, behind
"""


def test_values_and_errors_are_those_of_the_calls(run):
    tasks = """
    class Pair(tuple): pass

    @bandsaw.task(chain="two")
    def f(x):
        if x % 7 == 3:
            raise KeyError(x)
        if x % 7 == 4:
            return threading.Lock()
        if x % 7 == 5:
            sys.exit(x)
        print(f"{x}\\n", end="")
        return Pair((x, [x]))

    @bandsaw.task(chain="two")
    def g(pair):
        return pair[0] + len(pair[1]) + (type(pair) is not Pair)
    """
    body = """
    futures = [f.submit(x) for x in range(200)]
    others = [g.submit(future) for future in futures]
    kinds = {3: KeyError, 4: TypeError, 5: SystemExit}
    for x, (future, other) in enumerate(zip(futures, others)):
        error, kind = future.exception(), kinds.get(x % 7)
        if kind is None:
            assert future.result() == (x, [x]) and other.result() == x + 1
        else:
            assert isinstance(error, kind) and other.exception().__cause__ is error
            assert kind is not KeyError or f"f({x})" in "".join(error.__notes__)
    """
    printed = run(tasks, body).stdout.split()
    assert sorted(map(int, printed)) == [x for x in range(200) if x % 7 in (0, 1, 2, 6)]


def test_a_call_behind_one_that_waits_for_it_goes_to_another_process(run):
    body = """
    assert sorted(linked.map(range(100))) == [*range(100)]
    # Each waits for one that comes soon after it, and the other process is free.
    for begin in range(100, 1000, 100):
        futures = [
            linked.submit(number, number + gap if number - begin == 40 else None)
            for gap in [begin // 100] for number in range(begin, begin + 100)
        ]
        assert [future.result(60) for future in futures] == [*range(begin, begin + 100)]
    """
    run(TASKS, body)


def test_a_call_that_has_not_begun_is_cancelled_and_never_runs(run):
    body = """
    before, stuck, behind = behind_a_held_one()
    assert not stuck.cancel()
    assert [future.cancel() for future in behind[::2]] == [True] * 30
    open("open", "x").close()
    assert stuck.result() == "open"
    assert [future.result() for future in behind[1::2]] == [*range(1, 60, 2)]
    assert [future.result() for future in before] == [-number for number in range(1, 60)]
    ran = {int(name[4:]) for name in os.listdir() if name.startswith("ran ")}
    assert ran == {*range(-59, 0), *range(1, 60, 2)}
    """
    run(TASKS, body)


def test_the_end_of_a_process_fails_the_call_that_had_begun_and_no_other(run):
    body = """
    from bandsaw.errors import TaskKilledError, WorkerDiedError

    futures = [fatal.submit(number) for number in range(100)]
    error = futures[40].exception()
    assert isinstance(error, WorkerDiedError) and error.returncode == -9
    del futures[40]
    assert [future.result() for future in futures] == [*range(40), *range(41, 100)]
    before, stuck, behind = behind_a_held_one()
    assert not behind[0].kill()
    assert stuck.kill()
    assert isinstance(stuck.exception(), TaskKilledError)
    assert [future.result() for future in behind] == [*range(60)]
    """
    run(TASKS, body)
