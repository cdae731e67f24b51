import io
import threading
import tracemalloc
from array import array
from collections import deque

import pytest

import bandsaw
from bandsaw.errors import AdviceError, SecondStepError, SessionFinishedError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session
from bandsaw.tasks import Task


class Noting(bandsaw.Advice):
    """Writes down what is called, and steps around whatever is given."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def before(self, session):
        self.calls.append(f"open {self.name}")
        session.proceed()
        self.calls.append(f"close {self.name}")

    def after(self, session):
        self.calls.append(f"after {self.name}")
        session.proceed()


class Repeating(bandsaw.Advice):
    """Repeats until there were so many attempts."""

    def __init__(self, attempts):
        self.attempts = attempts

    def after(self, session):
        number = session.context["number"] = session.context.get("number", 1) + 1
        if number <= self.attempts:
            session.repeat()
        else:
            session.proceed()


class Counting:
    """A task that returns the number of its attempt."""

    def __init__(self, calls=None):
        self.calls = [] if calls is None else calls

    def execute(self, execution):
        self.calls.append(f"task {bandsaw.get_attempt()}")
        return Result(bandsaw.get_attempt())


def test_what_is_later_is_closed_and_walked_anew(configure):
    calls = []
    chain = Noting("a", calls), Repeating(3), Noting("b", calls)
    session = Session(Counting(calls), None, configure(*chain))
    assert session.initiate() == Result(3)
    attempts = [["open b", f"task {number}", "after b", "close b"] for number in (1, 2, 3)]
    attempts[2].insert(3, "after a")
    assert calls == ["open a", *attempts[0], *attempts[1], *attempts[2], "close a"]
    assert bandsaw.get_attempt() == 1


@pytest.mark.parametrize(("later", "attempts"), [(0, 1000), (1, 300)])
def test_many_attempts_grow_neither_the_stack_nor_the_memory(configure, later, attempts):
    class Deep(bandsaw.Advice):
        def after(self, session):
            frame, depth = __import__("sys")._getframe(), 0
            while frame is not None:
                frame, depth = frame.f_back, depth + 1
            depths.add(depth)
            if len(sizes) == 100:
                tracemalloc.start()
            sizes.append(tracemalloc.get_traced_memory()[0])
            session.proceed()

    depths, sizes = set(), array("q")
    chain = (Repeating(attempts), *[Restoring()] * later, Deep())
    session = Session(Unimportant(), None, configure(*chain))
    session.task.calls = deque(maxlen=1)
    try:
        assert session.initiate() == Result(attempts)
    finally:
        tracemalloc.stop()
    # The first attempt, and all later ones.
    assert len(depths) <= 2
    assert sizes[-1] - sizes[110] < 30_000


class Unimportant(bandsaw.SerializableValue, Counting):
    def serialized(self):
        return {}

    @classmethod
    def deserialize(cls, values):
        return cls()

    def __reduce__(self):
        return type(self), ()


class Restoring(bandsaw.Advice):
    """Has the session go on as one that was saved, in this very object."""

    def before(self, session):
        stream = io.BytesIO()
        session.save(stream)
        stream.seek(0)
        session.restore(stream)
        session.proceed()


def test_a_session_that_was_restored_in_the_attempt_goes_back_to_its_beginning(configure):
    calls = []
    chain = Noting("a", calls), Repeating(3), Restoring(), Noting("b", calls), Restoring()
    session = Session(Unimportant(), None, configure(*chain))
    assert session.initiate() == Result(3)
    assert calls.count("open a") == calls.count("after a") == 1
    assert calls.count("open b") == calls.count("close b") == calls.count("after b") == 3


def test_advices_repeat_independently(configure):
    class Twice(bandsaw.Advice):
        def before(self, session):
            session.context[id(self)] = 0
            session.proceed()

        def after(self, session):
            session.context[id(self)] += 1
            if session.context[id(self)] < 2:
                session.repeat()
            else:
                session.proceed()

    calls = []
    chain = Twice(), Noting("a", calls), Twice(), Noting("b", calls), Twice()
    session = Session(Counting(calls), None, configure(*chain))
    assert session.initiate() == Result(8)
    assert calls.count("open a") == calls.count("after a") == calls.count("close a") == 2
    assert calls.count("open b") == calls.count("after b") == calls.count("close b") == 4


def test_an_attempt_has_no_result_a_new_nonce_and_the_context(configure):
    class Looking(bandsaw.Advice):
        def before(self, session):
            seen.append((session.result, session.nonce, session.context))
            session.proceed()

    class Once(bandsaw.Advice):
        def after(self, session):
            result = session.result
            if len(seen) < 2:
                session.repeat()
            else:
                session.proceed()
            kept.append((result, session.result))

    seen, kept = [], []
    Session(Counting(), None, configure(Once(), Looking())).initiate()
    (first, nonce, context), (second, other_nonce, other_context) = seen
    assert first is second is None
    assert nonce != other_nonce
    assert context is other_context
    assert kept == [(Result(1), Result(1)), (Result(2), Result(2))]


def test_what_concluded_is_repeated_and_an_advice_after_the_end_is_not_told_twice(configure):
    class Concluding(bandsaw.Advice):
        def before(self, session):
            calls.append("conclude")
            session.conclude(Result("concluded"))

    class Told(bandsaw.Extension):
        def on_before_advice(self, task, execution, context):
            calls.append("begin")

        def on_after_advice(self, task, execution, context, result):
            calls.append("end")

    calls = []
    configuration = configure(Repeating(2), Concluding()).add_extension(Told())
    assert Session(Counting(calls), None, configuration).initiate() == Result("concluded")
    assert calls == ["begin", "conclude", "conclude", "end"]


@pytest.mark.parametrize("elsewhere", ["in before", "in after"])
def test_where_before_was_elsewhere_the_outermost_step_is_repeated(configure, elsewhere):
    class Stopping(bandsaw.Advice):
        """Saves the session and lets somebody else go on."""

        def save(self, session):
            stream = io.BytesIO()
            session.save(stream)
            saved.append(stream.getvalue())

        def before(self, session):
            calls.append("stop")
            if saved or elsewhere == "in after":
                session.proceed()
            else:
                self.save(session)

        def after(self, session):
            if saved or elsewhere == "in before":
                session.proceed()
            else:
                self.save(session)

    calls, saved = [], []
    configuration = configure(Noting("a", calls), Repeating(3), Stopping())
    with pytest.raises(AdviceError, match="Misbehaving advice"):
        Session(Unimportant(), None, configuration).initiate()
    calls.clear()
    session = Session().restore(io.BytesIO(saved[0]))
    session.proceed()
    assert session._moderator.is_finished
    assert session.result == Result(3)
    assert calls == ["stop", "stop", "after a"]


def test_a_session_saved_in_a_later_attempt_goes_on_counting(configure):
    class Saving(bandsaw.Advice):
        def before(self, session):
            stream = io.BytesIO()
            session.save(stream)
            saved.append(stream.getvalue())
            session.proceed()

    saved = []
    Session(Unimportant(), None, configure(Repeating(2), Saving())).initiate()
    assert len(saved) == 2
    for number, data in enumerate(saved, 1):
        session = Session().restore(io.BytesIO(data))
        session.context["number"] = 9
        session.proceed()
        assert session.result == Result(number)


def test_whoever_restores_a_session_that_was_saved_in_after_may_repeat(configure):
    class Saving(bandsaw.Advice):
        def after(self, session):
            stream = io.BytesIO()
            session.save(stream)
            saved.append(stream.getvalue())
            session.proceed()

    saved = []
    Session(Unimportant(), None, configure(Saving())).initiate()
    session = Session().restore(io.BytesIO(saved[0]))
    session.repeat()
    assert session.result == Result(2)
    with pytest.raises(SessionFinishedError):
        session.repeat()


@pytest.mark.parametrize(
    ("phase", "steps", "error"),
    [
        ("before", ["repeat"], AdviceError),
        ("before", ["proceed", "repeat"], SessionFinishedError),
        ("after", ["repeat", "repeat"], SecondStepError),
        ("after", ["repeat", "proceed"], SecondStepError),
        ("after", ["proceed", "repeat"], SessionFinishedError),
    ],
)
def test_misuse_is_the_error_of_the_other_steps(configure, phase, steps, error):
    class Misusing(bandsaw.Advice):
        pass

    def take(self, session):
        for step in steps:
            getattr(session, step)()

    setattr(Misusing, phase, take)
    with pytest.raises(error):
        Session(Counting(), None, configure(Misusing())).initiate()


def test_a_repeat_in_before_says_who_did_it(configure):
    class Early(bandsaw.Advice):
        def before(self, session):
            session.repeat()

    with pytest.raises(AdviceError, match=r"Early\.before of task .* called repeat\(\)"):
        Session(Counting(), None, configure(Early())).initiate()
    with pytest.raises(AdviceError, match="The caller of task"):
        Session(Counting(), None, configure()).repeat()


def test_what_fails_in_later_advices_while_they_are_closed_ends_the_call(configure):
    class Failing(bandsaw.Advice):
        def before(self, session):
            session.proceed()
            raise ZeroDivisionError("while it was closed")

    calls = []
    configuration = configure(Noting("a", calls), Repeating(3), Failing(), Noting("b", calls))
    with pytest.raises(Exception, match="while it was closed"):
        Session(Counting(calls), None, configuration).initiate()
    assert calls == ["open a", "open b", "task 1", "after b", "close b"]


def test_a_session_repeats_in_the_thread_in_which_the_step_was_taken(configure):
    class Threaded(bandsaw.Advice):
        def before(self, session):
            thread = threading.Thread(target=session.proceed)
            thread.start()
            thread.join()

    calls = []
    configuration = configure(Repeating(3), Threaded(), Noting("a", calls))
    assert Session(Counting(calls), None, configuration).initiate() == Result(3)
    assert calls.count("close a") == 3


def test_a_call_within_a_later_attempt_counts_its_own(configure):
    inner = configure()

    class Nesting:
        def execute(self, execution):
            seen.append(bandsaw.get_attempt())
            seen.append(Session(Counting(), None, inner).initiate().value)
            return Result(bandsaw.get_attempt())

    seen = []
    assert Session(Nesting(), None, configure(Repeating(2))).initiate() == Result(2)
    assert seen == [1, 1, 2, 1]


def test_an_id_of_arguments_that_were_changed_is_made_anew(configure):
    def fill(items):
        items.append(1)

    class Reading(bandsaw.Advice):
        def before(self, session):
            ids.append(session.execution.execution_id)
            session.proceed()

    ids = []
    task = Task.create_task(fill)
    for given in ([], 1):
        execution = Execution(None, (given,)).of_task(task)
        Session(task, execution, configure(Repeating(3), Reading())).initiate()
    assert len(set(ids[:3])) == 3
    assert len(set(ids[3:])) == 1
    assert ids[1] == task.execution_id_of(([1],), {})


def test_a_session_that_is_restored_again_and_again_keeps_nothing(configure):
    stream = io.BytesIO()
    Session(Unimportant(), None, configure()).save(stream)
    session = Session()
    for _ in range(3):
        stream.seek(0)
        session.restore(stream)
        assert session._moderator._earlier is None
