"""Submitted calls in other processes."""

# One call at a time; `refuse` takes the place of `Thread.start`.
WITHOUT_THREADS = """
        import bandsaw_config

        bandsaw_config.configuration.add_advice_chain(name="here").set_max_in_flight(1)

        @bandsaw.task(chain="here")
        def other():
            pass

        def refuse(thread, start=threading.Thread.start):
            if thread.name == "bandsaw-call":
                raise RuntimeError("no thread")
            start(thread)
"""


def test_values_of_calls_in_other_processes_are_arguments_of_others(run):
    tasks = """
    @bandsaw.task
    def one(x):
        return {"x": x}

    @bandsaw.task(chain="two")
    def add(parts, more):
        return parts[0]["x"] + more["x"], os.getpid()

    @bandsaw.task(chain="own")
    def own(pair):
        return pair[0], len({pair[1], os.getpid()})
    """
    body = """
    futures = [own.submit(add.submit([one.submit(n)], one.submit(10))) for n in range(10)]
    assert [future.result() for future in futures] == [(10 + n, 2) for n in range(10)]
    """
    run(tasks, body)


def test_as_many_run_at_once_as_there_are_processes(run):
    tasks = """
    @bandsaw.task(chain="two")
    def f(folder):
        path = os.path.join(folder, str(os.getpid()))
        open(path, "x").close()
        count = len(os.listdir(folder))
        os.unlink(path)
        return count
    """
    body = """
    os.mkdir("running")
    assert max(f.map(["running"] * 30)) <= 2
    assert threading.active_count() <= 3
    """
    run(tasks, body)


def test_calls_nested_on_one_kept_process_come_to_an_end(run):
    tasks = """
    @bandsaw.task
    def depth(left):
        return 0 if not left else 1 + depth.submit(left - 1).result()

    @bandsaw.task
    def width(left):
        return 1 if not left else sum(width.map([left - 1] * 2))
    """
    body = """
    assert [future.result() for future in [depth.submit(3) for _ in range(3)]] == [3] * 3
    assert width.submit(2).result() == 4
    """
    run(tasks, body)


def test_calls_for_which_there_is_no_thread_fail_however_many_there_are(run):
    tasks = (
        WITHOUT_THREADS
        + """
        submitted, futures = threading.Event(), []

        @bandsaw.task(chain="here")
        def waits():
            submitted.wait(60)
            return futures[-1].exception(60)
    """
    )
    body = """
        waiting = waits.submit()
        threading.Thread.start = refuse
        futures += [other.submit() for _ in range(3 * sys.getrecursionlimit())]
        submitted.set()
        print(waiting.result(60), len(concurrent.futures.wait(futures, 60).not_done))
    """
    assert run(tasks, body).stdout == "no thread 0\n"


def test_callbacks_of_a_call_for_which_there_is_no_thread_may_wait_for_other_threads(run):
    tasks = (
        WITHOUT_THREADS
        + """
        submitted = threading.Event()

        @bandsaw.task(chain="here")
        def waits(futures):
            submitted.wait(60)
            return bandsaw.Future.exception(futures()[0], 60)
    """
    )
    body = """
        def ask(_):
            thread = threading.Thread(target=lambda: answers.append(other.submit().exception(9)))
            thread.start()
            thread.join(9)
            answers.append(thread.is_alive())

        answers = []
        waiting = waits.submit(lambda: futures)
        threading.Thread.start = refuse
        futures = [other.submit()]
        futures[0].add_done_callback(ask)
        submitted.set()
        print(waiting.result(60), answers)
    """
    assert run(tasks, body).stdout == "no thread [RuntimeError('no thread'), False]\n"
