import pickle
from types import SimpleNamespace

import pytest

import bandsaw
from bandsaw.errors import (
    AdviceResultError,
    BandsawError,
    SecondStepError,
    SessionFinishedError,
)
from bandsaw.result import Result
from bandsaw.session import Session, _Moderator


class Recorder:
    """An advice that writes down when it is called."""

    def __init__(self, name, calls, before="proceed", after="proceed"):
        self.name, self.calls = name, calls
        self.steps = {"before": before, "after": after}

    def take_step(self, session, phase):
        self.calls.append(f"{phase} {self.name}")
        for step in self.steps[phase].split():
            if step == "proceed":
                session.proceed()
            elif step == "conclude":
                session.conclude(Result(self.name))
            elif step == "conclude-nothing":
                session.conclude("no result")
            elif step == "raise":
                raise ZeroDivisionError("by advice")
        self.calls.append(f"end of {phase} {self.name}")

    def before(self, session):
        self.take_step(session, "before")

    def after(self, session):
        self.take_step(session, "after")


class Task:
    def __init__(self, calls):
        self.calls = calls

    def execute(self, execution):
        self.calls.append("task")
        return Result("from task")

    def __str__(self):
        return "module.function"


def walk(configure, *steps):
    calls = []
    advices = [Recorder(str(number), calls, *pair) for number, pair in enumerate(steps)]
    session = Session(Task(calls), None, configure(*advices))
    return session, calls


def begun(calls):
    return [call for call in calls if not call.startswith("end")]


def test_the_walk_is_nested_and_afters_run_in_reverse_order(configure):
    session, calls = walk(configure, ("proceed",), ("proceed",))
    assert session.initiate() == Result("from task")
    assert calls == [
        "before 0",
        "before 1",
        "task",
        "after 1",
        "after 0",
        "end of after 0",
        "end of after 1",
        "end of before 1",
        "end of before 0",
    ]


def test_concluding_on_the_way_skips_the_later_ones_the_task_and_its_own_after(configure):
    session, calls = walk(configure, ("proceed",), ("conclude",), ("proceed",))
    assert session.initiate() == Result("1")
    assert begun(calls) == ["before 0", "before 1", "after 0"]


def test_concluding_after_the_task_replaces_the_result_and_goes_on(configure):
    session, calls = walk(configure, ("proceed",), ("proceed", "conclude"))
    assert session.initiate() == Result("1")
    assert begun(calls) == ["before 0", "before 1", "task", "after 1", "after 0"]


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        (("proceed proceed", "proceed"), "Recorder.before"),
        (("proceed", "proceed proceed"), "Recorder.after"),
        (("conclude proceed", "proceed"), "Recorder.before"),
        (("proceed conclude", "proceed"), "Recorder.before"),
        (("proceed", "conclude conclude"), "Recorder.after"),
        (("proceed", "conclude proceed"), "Recorder.after"),
        (("nothing", "proceed"), "Recorder.before"),
        (("proceed", "nothing"), "Recorder.after"),
        (("conclude-nothing", "proceed"), "Recorder.before"),
        (("proceed", "conclude-nothing"), "Recorder.after"),
    ],
)
@pytest.mark.parametrize("outer", [(), (("proceed",),), (("proceed",), ("proceed",))])
@pytest.mark.parametrize("inner", [(), (("proceed",),), (("conclude",),)])
def test_a_fault_names_the_advice_the_phase_and_the_task(configure, steps, named, outer, inner):
    session, _ = walk(configure, *outer, steps, *inner)
    with pytest.raises(BandsawError) as caught:
        session.initiate()
    assert isinstance(caught.value, RuntimeError)
    assert named in str(caught.value)
    assert "module.function" in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        (("raise", "proceed"), "Recorder.before"),
        (("proceed", "raise"), "Recorder.after"),
        (("proceed raise", "proceed"), "Recorder.before"),
    ],
)
@pytest.mark.parametrize("outer", [(), (("proceed",),), (("proceed",), ("proceed",))])
@pytest.mark.parametrize("inner", [(), (("proceed",),), (("conclude",),)])
def test_what_an_advice_raises_is_raised_as_it_is_with_one_note(
    configure, steps, named, outer, inner
):
    session, _ = walk(configure, *outer, steps, *inner)
    with pytest.raises(ZeroDivisionError) as caught:
        session.initiate()
    assert type(caught.value) is ZeroDivisionError and caught.value.args == ("by advice",)
    (note,) = caught.value.__notes__
    assert note == f"Raised in {named} of task module.function"
    assert caught.value.__cause__ is None


def test_an_error_that_is_raised_by_many_calls_has_one_note_of_each(configure):
    error = ValueError("shared")

    class Refusing(bandsaw.Advice):
        def before(self, session):
            if session.task.kwargs.get("refused"):
                raise error
            session.proceed()

    task = bandsaw.task(config=configure(Refusing()).module_name, version="1")

    @task
    def fails(x):
        raise error

    for call in (lambda: fails(1), lambda: fails(1), lambda: fails(2), lambda: fails(1)):
        with pytest.raises(ValueError, match="shared"):
            call()
    assert [note.rpartition("(")[2] for note in error.__notes__] == ["1)", "2)"]
    refusing = bandsaw.task(config=fails.bandsaw_configuration.module_name, refused=True)
    del error.__notes__

    @refusing
    def one():
        pass

    @refusing
    def two():
        pass

    for call in (one, two, one):
        with pytest.raises(ValueError, match="shared"):
            call()
    assert [note.rpartition(".")[2] for note in error.__notes__] == ["one", "two"]


def test_concluding_with_no_result_is_also_a_type_error(configure):
    session, _ = walk(configure, ("conclude-nothing",))
    with pytest.raises(AdviceResultError, match="'no result' of type str"):
        session.initiate()


def test_doing_neither_names_the_misbehaving_advice(configure):
    session, _ = walk(configure, ("proceed",), ("nothing",))
    told = r"Not all advice has been applied. Misbehaving advice .* Call session.proceed\(\)"
    with pytest.raises(RuntimeError, match=told):
        session.initiate()


def test_a_step_after_the_end_is_an_error(configure):
    session, _ = walk(configure, ("proceed",))
    session.initiate()
    for step in (session.proceed, lambda: session.conclude(Result())):
        with pytest.raises(SessionFinishedError, match="finished advising. Each call of before"):
            step()


def test_an_advice_may_catch_what_goes_wrong_further_in_but_not_step_again(configure):
    class Catching:
        def before(self, session):
            with pytest.raises(ZeroDivisionError):
                session.proceed()
            session.conclude(Result())

        def after(self, session):
            session.proceed()

    calls = []
    configuration = configure(Catching(), Recorder("inner", calls, "raise"))
    with pytest.raises(SecondStepError, match="Catching.before"):
        Session(Task(calls), None, configuration).initiate()


def test_what_a_task_returns_becomes_the_result_unchecked(configure):
    task = SimpleNamespace(execute=lambda execution: "anything")
    assert Session(task, None, configure()).initiate() == "anything"


def test_the_position_counts_the_calls_that_were_begun(configure):
    seen = []

    class Looking:
        def before(self, session):
            self.look(session)

        def after(self, session):
            self.look(session)

        def look(self, session):
            moderator = session._moderator
            seen.append(
                (
                    moderator.before_called,
                    moderator.after_called,
                    moderator.task_called,
                    moderator.is_finished,
                    moderator.current_advice is self,
                )
            )
            session.proceed()

    session = Session(Task([]), None, configure(Looking(), Looking()))
    session.initiate()
    assert seen == [
        (1, 0, False, False, True),
        (2, 0, False, False, True),
        (2, 1, True, False, True),
        (2, 2, True, False, True),
    ]
    assert session._moderator.is_finished
    assert session._moderator.current_advice is None


@pytest.mark.parametrize("count", range(4))
def test_the_current_advice_follows_from_a_restored_position(count):
    advices = [Recorder(str(number), [], "nothing", "nothing") for number in range(2)]
    moderator = _Moderator(advices)
    session = SimpleNamespace(task=Task([]), execution=None, result=None)
    for _ in range(count):
        moderator.next(session)
    for copy in (
        _Moderator.deserialize(moderator.serialized()),
        pickle.loads(pickle.dumps(moderator)),
    ):
        copy.advice_chain = advices
        assert copy.current_advice is moderator.current_advice
        assert copy.serialized() == moderator.serialized()


def test_a_moderator_without_advices_executes_the_task():
    session = SimpleNamespace(task=Task([]), execution=None, result=None)
    moderator = _Moderator()
    assert moderator.current_advice is None
    moderator.next(session)
    assert session.result == Result("from task")
    assert moderator.task_called
    assert moderator.is_finished


def test_everything_of_a_moderator_can_be_assigned():
    moderator = _Moderator()
    for name, value in {
        "advice_chain": (1,),
        "before_called": 1,
        "after_called": 1,
        "task_called": True,
        "current_advice": "advice",
        "next": len,
        "is_finished": True,
    }.items():
        setattr(moderator, name, value)
    assert moderator._is_finished
    assert moderator.next is len


def test_a_moderator_can_be_stepped_by_hand():
    calls = []
    advices = [Recorder(str(number), calls, "nothing", "nothing") for number in range(2)]
    moderator = _Moderator(advices)
    session = SimpleNamespace(task=Task(calls), execution=None, result=None)
    for _ in range(5):
        moderator.next(session)
    assert begun(calls) == ["before 0", "before 1", "task", "after 1", "after 0"]
    assert moderator.is_finished
    with pytest.raises(SessionFinishedError):
        moderator.next(session)


def test_a_moderator_that_was_set_finished_takes_no_step():
    moderator = _Moderator()
    moderator._is_finished = True
    with pytest.raises(RuntimeError, match="Session already finished advising."):
        moderator.next(SimpleNamespace())


def test_what_a_task_of_the_users_own_raises_is_its_result(configure):
    class Raising(Task):
        def execute(self, execution):
            raise KeyError("from task")

    session = Session(Raising([]), None, configure(Recorder("0", [])))
    assert session.initiate() == Result(exception=KeyError("from task"))


def test_skip_goes_on_with_the_afters_of_the_earlier_advices(configure):
    calls = []

    class Skipping:
        def before(self, session):
            session._moderator.skip(session)

    configuration = configure(Recorder("outer", calls), Skipping())
    Session(Task(calls), None, configuration).initiate()
    assert begun(calls) == ["before outer", "after outer"]
