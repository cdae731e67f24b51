import asyncio
import inspect
import threading

import pytest

import bandsaw


class Passing(bandsaw.Advice):
    pass


@pytest.fixture(params=["empty", "advised"])
def task(request, configure):
    chain = [Passing()] if request.param == "advised" else []
    return bandsaw.task(config=configure(*chain).module_name)


def test_a_coroutine_function_stays_one(task):
    @task
    async def f(x):
        """Says what it does."""
        return x

    class Thing:
        @task
        async def method(self, x):
            return x

    assert inspect.iscoroutinefunction(f) and f.__doc__ == "Says what it does."
    assert asyncio.run(f(3)) == 3
    assert asyncio.run(Thing().method(4)) == 4
    assert f.submit(5).result(200) == 5 and list(f.map([1, 2])) == [1, 2]
    assert Thing().method.submit(6).result(200) == 6


def test_it_runs_on_the_loop_of_the_caller_which_goes_on_meanwhile(task):
    @task
    async def f(event):
        await event.wait()
        return asyncio.get_running_loop(), threading.current_thread()

    async def main():
        event = asyncio.Event()
        calls = [asyncio.ensure_future(f(event)) for _ in range(50)]
        await asyncio.sleep(0)
        event.set()
        results = await asyncio.gather(*calls)
        assert set(results) == {(asyncio.get_running_loop(), threading.current_thread())}

    asyncio.run(main())


def test_what_it_raises_is_raised(task):
    @task
    async def f():
        await asyncio.sleep(0)
        raise LookupError("key")

    async def main():
        with pytest.raises(LookupError, match="key"):
            await f()

    asyncio.run(main())
    assert isinstance(f.submit().exception(200), LookupError)


def test_what_it_raises_is_raised_if_it_counts_as_false(task):
    class Many(Exception):
        def __len__(self):
            return 0

    @task
    async def f():
        raise Many

    with pytest.raises(Many):
        asyncio.run(f())


def test_one_that_is_submitted_from_a_coroutine_has_a_loop_of_its_own(task):
    @task
    async def inner():
        return id(asyncio.get_running_loop())

    @task
    async def outer():
        # Blocks the loop, as one should not.
        return inner.submit().result(200), id(asyncio.get_running_loop())

    theirs, ours = asyncio.run(outer())
    assert theirs != ours


def test_futures_can_be_awaited(task):
    @task
    def add(x, y):
        return x + y

    async def main():
        futures = [add.submit(add.submit(x, 1), 1) for x in range(20)]
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    assert asyncio.run(main()) == [x + 2 for x in range(20)]


def test_cancelling_who_awaits_cancels_the_call(task):
    begun, ended = [], []

    @task
    async def forever():
        begun.append(True)
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(True)

    async def main():
        awaiting = asyncio.ensure_future(forever())
        while not begun:
            await asyncio.sleep(0.001)
        awaiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await awaiting
        while not ended:
            await asyncio.sleep(0.001)

    asyncio.run(main())


TASKS = """
import asyncio

@bandsaw.task
async def pid(x):
    await asyncio.sleep(0)
    return os.getpid()

@bandsaw.task(chain="two")
async def double(x):
    return 2 * x

@bandsaw.task
async def hang(path):
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".part", path)
    await asyncio.sleep(1000)

@bandsaw.task
def busy(path):
    open(path, "w").close()
    time.sleep(1000)
"""


def test_elsewhere_it_has_a_loop_of_its_own(run):
    body = """
    async def main():
        assert os.getpid() != await pid(1)
        assert await asyncio.gather(*map(double, range(20))) == [2 * x for x in range(20)]
        assert double.submit(double.submit(2)).result() == 8
    asyncio.run(main())
    """
    run(TASKS, body)


def test_cancelling_ends_the_process(run, project, wait_until):
    body = """
    async def main():
        first = asyncio.ensure_future(hang("pid"))
        while not os.path.exists("pid"):
            await asyncio.sleep(0.005)
        second = asyncio.ensure_future(hang("never"))
        await asyncio.sleep(0.01)
        second.cancel()
        first.cancel()
        done = await asyncio.gather(first, second, return_exceptions=True)
        assert {type(error) for error in done} == {asyncio.CancelledError}
        assert await pid(1) != int(open("pid").read())
    asyncio.run(main())
    """
    done = run(TASKS, body)
    assert done.stderr == ""
    assert not (project.folder / "never").exists()
    wait_until.gone(int((project.folder / "pid").read_text()))
