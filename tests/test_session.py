import io
import subprocess
import sys
import threading
import zipfile

import pytest

import bandsaw
from bandsaw.context import Context
from bandsaw.errors import SecondStepError, SessionError, SessionFileError, UnserializableError
from bandsaw.execution import Execution
from bandsaw.io import BytearrayGeneratorToStream, read_stream_to_generator
from bandsaw.result import Result
from bandsaw.session import Session
from bandsaw.tasks import Task


class Plain:
    """A task of the user's own, with nothing but what is used of it."""

    def execute(self, execution):
        return Result(sum(execution.args))


@pytest.fixture(params=[bandsaw.PickleSerializer, bandsaw.JsonSerializer])
def serializer(request):
    return request.param()


def saved(session):
    stream = io.BytesIO()
    session.save(stream)
    stream.seek(0)
    return stream


def some_function(x):
    return x + 1


def test_everything_is_restored(configure, serializer):
    configuration = configure(bandsaw.Advice(), name="chain").set_serializer(serializer)
    session = Session(
        Task.create_task(subprocess.getoutput, {"a": (1, 2)}),
        Execution("execution", (1, (2, [3])), {"k": {4: 5}}),
        configuration,
        "chain",
    )
    session.context["key"] = {1, 2}
    session.result = Result(exception=ValueError("x", 1))
    restored = Session()
    assert restored.restore(saved(session)) is restored
    assert restored.task.function is subprocess.getoutput
    assert restored.task.kwargs == {"a": (1, 2)}
    assert restored.execution.serialized() == session.execution.serialized()
    assert restored.context == Context({"key": {1, 2}})
    assert restored.result == session.result
    assert restored.configuration is configuration
    assert restored.advice_chain == "chain"
    assert restored.run_id == session.run_id
    assert restored._moderator.serialized() == session._moderator.serialized()
    assert restored._configuration is configuration
    assert restored._advice_chain == "chain"
    assert restored.serializer is serializer


def test_a_session_that_was_not_initiated_goes_on_elsewhere(configure):
    session = Session(Plain(), Execution("e", (1, 2)), configure(bandsaw.Advice()))
    assert Session().restore(saved(session)).initiate() == Result(3)


def test_a_session_goes_on_in_another_thread(configure):
    class Moving(bandsaw.Advice):
        def before(self, session):
            names.append(threading.current_thread().name)
            thread = threading.Thread(target=session.proceed, name="other")
            thread.start()
            thread.join()

    names = []
    configuration = configure(Moving(), Moving())
    assert Session(Plain(), Execution("e", (1, 2)), configuration).initiate() == Result(3)
    assert names[1] == "other"


def test_a_session_goes_on_any_number_of_times(configure):
    class Again(bandsaw.Advice):
        def before(self, session):
            for _ in range(3):
                stream = saved(session)
                copy = Session().restore(stream)
                copy.proceed()
                results.append(copy.result)
            session.proceed()

    results = []
    configuration = configure(bandsaw.Advice(), Again(), bandsaw.Advice())
    result = Session(Plain(), Execution("e", (1, 2)), configuration).initiate()
    assert [*results, result] == [Result(3)] * 4


def test_restoring_lets_an_advice_take_its_step_again(configure):
    class Retrying(bandsaw.Advice):
        def before(self, session):
            stream = saved(session)
            session.proceed()
            if isinstance(session.result.exception, ConnectionError):
                stream.seek(0)
                session.restore(stream)
                session.proceed()

    class Flaky(Plain):
        def execute(self, execution):
            attempts.append(1)
            return Result(exception=ConnectionError()) if len(attempts) == 1 else Result("ok")

        def __reduce__(self):
            return (str, ("flaky",))

    attempts = []
    task = Flaky()
    Flaky.__reduce__ = lambda self: (_find_task, ())
    _TASKS[:] = [task]
    configuration = configure(Retrying(), bandsaw.Advice())
    session = Session(task, Execution("e"), configuration)
    assert session.initiate() == Result("ok")
    assert len(attempts) == 2


_TASKS = []


def _find_task():
    return _TASKS[0]


def test_a_restored_walk_still_knows_who_took_a_step(configure):
    class Restoring(bandsaw.Advice):
        def before(self, session):
            session.restore(saved(session))
            session.proceed()

    class Stopping(bandsaw.Advice):
        def after(self, session):
            pass

    class Twice(bandsaw.Advice):
        def before(self, session):
            session.proceed()
            session.proceed()

    configuration = configure(Twice(), Restoring(), Stopping())
    with pytest.raises(SecondStepError, match=r"Twice\.before"):
        Session(Plain(), Execution("e", (1, 2)), configuration).initiate()


def test_streams_that_cannot_seek_are_enough(configure):
    session = Session(Plain(), Execution("e", (1, 2)), configure())
    raw = BytearrayGeneratorToStream(read_stream_to_generator(saved(session), 100))
    assert Session().restore(io.BufferedReader(raw)).initiate() == Result(3)
    raw = BytearrayGeneratorToStream(read_stream_to_generator(saved(session), 7))
    assert Session().restore(raw).initiate() == Result(3)


def test_the_streams_are_left_open(configure):
    stream = saved(Session(Plain(), Execution("e"), configure()))
    Session().restore(stream)
    assert not stream.closed


def test_restoring_replaces_an_older_state(configure):
    session = Session(Plain(), Execution("e", (1, 2)), configure())
    stream = saved(session)
    session.initiate()
    session.context["later"] = True
    session.restore(stream)
    assert session.result is None
    assert not session.context
    assert session.initiate() == Result(3)


@pytest.mark.parametrize("length", [0, 1, 50, 200, -1])
def test_a_truncated_file_is_a_typed_error(configure, length):
    data = saved(Session(Plain(), Execution("e"), configure())).getvalue()
    with pytest.raises(SessionFileError) as caught:
        Session().restore(io.BytesIO(data[:length]))
    assert isinstance(caught.value, ValueError)


def rewritten(data, change):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in change(members):
            archive.writestr(name, content)
    written.seek(0)
    return written


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "change",
    [
        lambda members: members[:-1],
        lambda members: [*members, ("other", b"")],
        lambda members: [*members, ("../other", b"")],
        lambda members: [*members, members[0]],
        lambda members: [("session.json", b"[]"), *members[1:]],
        lambda members: [("session.json", b"{"), *members[1:]],
        lambda members: [("session.json", b'{"format": 99}'), *members[1:]],
        lambda members: [
            ("session.json", members[0][1].replace(b'"before_called":0', b'"before_called":-1')),
            *members[1:],
        ],
    ],
)
def test_a_file_with_other_members_or_a_bad_header_is_a_typed_error(configure, change):
    data = saved(Session(Plain(), Execution("e"), configure())).getvalue()
    with pytest.raises(SessionFileError):
        Session().restore(rewritten(data, change))


def test_a_damaged_value_is_a_typed_error_that_names_it(configure):
    data = saved(Session(Plain(), Execution("e"), configure())).getvalue()
    broken = rewritten(
        data, lambda members: [(n, b"!" if n == "context" else d) for n, d in members]
    )
    with pytest.raises(ValueError, match="The context of a session cannot be read"):
        Session().restore(broken)


def test_what_cannot_be_written_is_named(configure):
    session = Session(Task.create_task(some_function), Execution("e", (sys,)), configure())
    with pytest.raises(
        UnserializableError, match="The execution of task .*some_function"
    ) as caught:
        session.save(io.BytesIO())
    assert "module" in str(caught.value)


def test_an_error_without_words_that_keeps_something_from_being_written_is_named(configure):
    class Exhausted(bandsaw.JsonSerializer):
        def serialize(self, value, stream):
            raise MemoryError

    configuration = configure().set_serializer(Exhausted())
    session = Session(Task.create_task(some_function), Execution("e", (1,)), configuration)
    with pytest.raises(UnserializableError, match=r"cannot be written by .*: MemoryError$"):
        session.save(io.BytesIO())


def test_a_session_without_a_configuration_says_so():
    for use in (lambda s: s.initiate(), lambda s: s.save(io.BytesIO()), lambda s: s.serializer):
        with pytest.raises(SessionError, match="has no configuration"):
            use(Session())


def test_a_configuration_that_nobody_can_import_says_so(configure):
    configuration = configure()
    configuration.module_name = None
    with pytest.raises(SessionError, match="comes from a module that can be imported"):
        Session(Plain(), Execution("e"), configuration).save(io.BytesIO())


def test_the_configuration_and_the_run_id_are_looked_up_when_they_are_needed(
    configure, monkeypatch
):
    configuration, other = configure(), configure()
    stream = saved(Session(Plain(), Execution("e"), configuration))
    monkeypatch.setattr("bandsaw.session.get_configuration", lambda name: other)
    monkeypatch.setattr("bandsaw.session.get_run_id", lambda: "my run")
    session = Session().restore(stream)
    assert session.configuration is other
    assert session.run_id == "my run"


def test_a_chain_that_is_shorter_here_is_a_typed_error(configure):
    class Saving(bandsaw.Advice):
        def before(self, session):
            streams.append(saved(session))
            session.proceed()

    streams = []
    configuration = configure(bandsaw.Advice(), Saving())
    Session(Plain(), Execution("e"), configuration).initiate()
    configuration.add_advice_chain(bandsaw.Advice())
    with pytest.raises(SessionFileError, match="has 1 advices on .+, and 2 were .+set_env"):
        Session().restore(streams[0])


def test_saving_twice_keeps_what_the_session_is_recognized_by(configure):
    session = Session(Plain(), Execution("e"), configure())
    first, second = Session().restore(saved(session)), Session().restore(saved(session))
    assert first.nonce == second.nonce == session.nonce
    other = Session(Plain(), Execution("e"), configure())
    saved(other)
    assert other.nonce != session.nonce
