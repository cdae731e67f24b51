"""Signed pickles: what is refused before a byte of it is loaded."""

import copy
import io
import pickle
import pickletools
import zlib

import numpy
import pytest

import bandsaw
from bandsaw._cache import entry
from bandsaw.errors import DeserializationError, InvalidValueError, SignatureError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.serialization import JsonSerializer, PickleSerializer, Serializer
from bandsaw.serialization.serializer import for_purpose
from bandsaw.session import Session

KEY = b"0123456789abcdef"
SIGNED = PickleSerializer(key=KEY)
LOADED = []


def loaded():
    LOADED.append(1)


class Loud:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return loaded, ()


def written(value, serializer=SIGNED):
    stream = io.BytesIO()
    serializer.serialize(value, stream)
    return stream.getvalue()


def read(data, serializer=SIGNED):
    return serializer.deserialize(io.BytesIO(data))


@pytest.fixture(autouse=True)
def nothing_is_loaded():
    yield
    assert LOADED == []


@pytest.mark.parametrize("key", ["0123456789abcdef", b"0123456789abcde", b"", bytearray(20), 5])
def test_a_key_that_is_none_is_refused_without_being_shown(key):
    with pytest.raises(InvalidValueError, match="at least 16 random bytes") as caught:
        PickleSerializer(key=key)
    assert isinstance(caught.value, ValueError)
    assert "0123" not in str(caught.value)


def test_no_representation_shows_the_key():
    for serializer in (SIGNED, SIGNED.for_purpose("p")):
        assert repr(serializer) == "PickleSerializer(key=...)"
        assert "0123" not in str(serializer)
    assert repr(PickleSerializer()) == "PickleSerializer()"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_serializer_with_a_key_is_not_pickled(protocol):
    with pytest.raises(TypeError, match="the key would go wherever"):
        pickle.dumps(SIGNED, protocol)
    with pytest.raises(bandsaw.errors.UnserializableError, match="the key would go wherever"):
        written([SIGNED], PickleSerializer())
    assert type(pickle.loads(pickle.dumps(PickleSerializer(), protocol))) is PickleSerializer


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_serializer_with_a_key_can_be_copied(duplicate):
    assert read(written([1]), duplicate(SIGNED)) == [1]


def test_a_signed_value_comes_back_with_the_key():
    for value in ({"a": (1, {2})}, b"x" * 3_000_000, ValueError("x")):
        back = read(written(value))
        assert type(back) is type(value)
        assert getattr(back, "args", back) == getattr(value, "args", value)


def test_signed_values_follow_each_other_in_a_stream():
    stream = io.BytesIO()
    for value in (1, "two", [3]):
        SIGNED.serialize(value, stream)
    stream.seek(0)
    assert [SIGNED.deserialize(stream) for _ in range(3)] == [1, "two", [3]]


def test_every_changed_byte_and_every_cut_is_noticed():
    data = written(Loud())
    for place in range(len(data)):
        for changed in (
            data[:place],
            data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
            data[:place] + data[place + 1 :],
        ):
            with pytest.raises(SignatureError):
                read(changed)


def test_a_length_that_is_a_lie_takes_no_memory():
    data = bytearray(written(Loud()))
    start = data.index(b"pickle1\n") + 8 + 32
    data[start : start + 8] = b"\x7f" * 8
    with pytest.raises(SignatureError, match="ends early"):
        read(bytes(data))


def test_unsigned_data_and_that_of_another_key_are_refused():
    with pytest.raises(SignatureError, match="is not signed"):
        read(written(Loud(), PickleSerializer()))
    with pytest.raises(SignatureError, match="both sides have the same key"):
        read(written(Loud(), PickleSerializer(key=b"another key that is long enough")))
    with pytest.raises(SignatureError):
        read(b"")


def test_signed_data_without_a_key_is_refused_by_name():
    with pytest.raises(SignatureError, match=r"no key.*PickleSerializer\(key=") as caught:
        read(written(Loud()), PickleSerializer())
    assert isinstance(caught.value, DeserializationError)
    # Not even a reader that knows nothing of signatures goes on.
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(written(Loud()))


def test_what_was_written_for_one_purpose_is_not_read_for_another():
    one, other = SIGNED.for_purpose("one"), SIGNED.for_purpose("other")
    assert read(written([1], one), SIGNED.for_purpose("one")) == [1]
    for wrong in (other, SIGNED, SIGNED.for_purpose("one "), SIGNED.for_purpose("")):
        with pytest.raises(SignatureError, match="signature"):
            read(written(Loud(), one), wrong)
    with pytest.raises(SignatureError, match="'other'"):
        read(written(Loud()), other)


def buffered(value, serializer=SIGNED):
    stream = io.BytesIO()
    buffers = serializer.serialize_with_buffers(value, stream)
    return stream.getvalue(), [bytes(buffer) for buffer in buffers]


def test_the_buffers_are_signed_with_their_number_order_and_lengths():
    value = [numpy.frombuffer(bytearray(b), "u1") for b in (b"abc", b"de")] + [numpy.zeros(0, "u1")]
    data, buffers = buffered(value)
    assert buffers == [b"abc", b"de", b""]
    back = SIGNED.deserialize_with_buffers(io.BytesIO(data), buffers)
    assert [bytes(part) for part in back] == buffers
    for wrong in (
        [b"abc", b"de"],
        [b"abc", b"de", b"", b""],
        [b"de", b"abc", b""],
        [b"ab", b"cde", b""],
        [b"abcde", b"", b""],
        [b"abC", b"de", b""],
        [],
    ):
        with pytest.raises(SignatureError):
            SIGNED.deserialize_with_buffers(io.BytesIO(data), wrong)
    with pytest.raises(SignatureError):
        PickleSerializer().deserialize_with_buffers(io.BytesIO(data), buffers)


def test_the_payload_is_the_pickle_itself():
    data = written([1, 2])
    assert pickle.loads(data[-int.from_bytes(data[56:64], "big") :]) == [1, 2]
    # The mark is one opcode, which names what nobody has.
    assert next(pickletools.genops(data))[0].name == "GLOBAL"


class Compressed(PickleSerializer):
    def __init__(self, level, **more):
        super().__init__(**more)
        self.level = level

    def serialize(self, value, stream):
        plain = io.BytesIO()
        super().serialize(value, plain)
        stream.write(zlib.compress(plain.getvalue(), self.level))

    def deserialize(self, stream):
        return super().deserialize(io.BytesIO(zlib.decompress(stream.read())))


class Careless(PickleSerializer):
    def __init__(self):
        """Does without ours."""


def test_derived_serializers_work_with_and_without_a_key():
    for serializer in (Compressed(9), Compressed(9, key=KEY), Careless()):
        bound = serializer.for_purpose("p")
        assert type(bound) is type(serializer)
        data, buffers = buffered([pickle.PickleBuffer(b"a" * 1000)], bound)
        assert not buffers or type(serializer) is Careless
        assert bytes(bound.deserialize_with_buffers(io.BytesIO(data), buffers)[0]) == b"a" * 1000
        if serializer.is_signed:
            assert bound.level == 9
            with pytest.raises(SignatureError):
                serializer.deserialize_with_buffers(io.BytesIO(data), buffers)


def test_serializers_without_purposes_are_used_as_they_are():
    class Own(Serializer):
        def serialize(self, value, stream):
            raise NotImplementedError

        def deserialize(self, stream):
            raise NotImplementedError

    for serializer in (Own(), object(), JsonSerializer(), PickleSerializer()):
        assert for_purpose(serializer, "p") is serializer
    assert for_purpose(SIGNED, "p") is not SIGNED
    assert not Own().is_signed
    assert SIGNED.is_signed


class Constant:
    """A task of which each call has the result that the test wants."""

    def __init__(self, task_id, value):
        self.task_id, self.value, self.kwargs = task_id, value, {}

    def execute(self, execution):
        return Result(self.value)


def cached(configuration, task_id, execution_id, value):
    task = Constant(task_id, value)
    return Session(task, Execution(execution_id), configuration).initiate().value


def test_a_cache_entry_is_bound_to_its_ids_and_to_the_key(configure, tmp_path, caplog):
    configuration = configure(bandsaw.advices.cache.CachingAdvice(tmp_path))
    configuration.set_serializer(SIGNED)
    assert cached(configuration, "task", "one", "first") == "first"
    assert cached(configuration, "task", "one", "again") == "first"
    # Somebody who can write there makes a valid entry for another call out of it.
    folder = str(tmp_path / "task")
    found = entry.read(folder, "one")
    parts = entry.packed(entry.ids_of(folder, "two"), found.record, [found.payload], found.buffers)
    (tmp_path / "task" / "two").write_bytes(b"".join(parts))
    assert cached(configuration, "task", "two", "second") == "second"
    assert "'cache entry task/two'" in caplog.text
    # An entry of a time without the key, or of another key, is computed again.
    configuration.set_serializer(PickleSerializer())
    assert cached(configuration, "task", "old", "unsigned") == "unsigned"
    configuration.set_serializer(SIGNED)
    assert cached(configuration, "task", "old", "signed") == "signed"
    configuration.set_serializer(PickleSerializer(key=KEY[::-1]))
    assert cached(configuration, "task", "one", "third") == "third"


def test_a_far_end_of_a_configuration_with_a_key_takes_nothing_unsigned(project):
    """Not even the variables of a session that says that it is not signed."""
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        configuration = bandsaw.Configuration()
        configuration.set_serializer(bandsaw.PickleSerializer(key=b"0123456789abcdef"))
        """,
    )
    project.write("evil/evil_config.py", "open('pwned', 'w').close()\nconfiguration = None\n")
    project.write(
        "workflow.py",
        """
        import io, json, os, shutil, subprocess, sys, zipfile
        import bandsaw
        from bandsaw.execution import Execution
        from bandsaw.session import Session

        @bandsaw.task
        def f(x):
            return x

        if __name__ == "__main__":
            session = Session(f.bandsaw_task, Execution(None, (1,)), f.bandsaw_configuration)
            stream = io.BytesIO()
            session.save(stream)
            with zipfile.ZipFile(stream) as given, zipfile.ZipFile("in", "w") as forged:
                for name in given.namelist():
                    data = given.read(name)
                    if name == "session.json":
                        header = json.loads(data)
                        header["configuration"] = "evil_config"
                        header["environment"] = {"PYTHONPATH": os.path.abspath("evil")}
                        data = json.dumps(header)
                    if name != "seal":
                        forged.writestr(name, data)
            archive = session.distribution_archive.path
            arguments = ["--input", "in", "--output", "out", "--run-id", session.run_id]
            own = dict(os.environ, PYTHONPATH=str(archive))
            for started in ([archive], ["-m", "bandsaw.runner"]):
                command = [sys.executable, *started, *arguments]
                subprocess.run(command, check=True, env=own if "-m" in started else None)
                print(zipfile.ZipFile("out").read("failure").decode())
        """,
    )
    done = project.run("workflow.py")
    assert done.stdout.count('"type":"SignatureError"') == 2
    assert done.stdout.count("was expected") >= 2
    assert not (project.folder / "pwned").exists()


class OwnNames(PickleSerializer):
    """A serializer of a user's own, whose names may be ours."""

    def __init__(self):
        self._key, self._purpose = ["not ours"], 5


def test_a_derived_serializer_may_have_any_attributes():
    serializer = OwnNames()
    assert not serializer.is_signed
    stream = io.BytesIO()
    serializer.serialize([1], stream)
    stream.seek(0)
    assert serializer.deserialize(stream) == [1]


def test_an_array_that_changes_while_it_is_written_is_still_a_whole_session(configure):
    import threading

    configuration = configure()
    for serializer in (PickleSerializer(), SIGNED):
        configuration.set_serializer(serializer)
        array = numpy.zeros(500_000)
        ended = threading.Event()

        def change(array=array, ended=ended):
            while not ended.is_set():
                array += 1

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(3):
                stream = io.BytesIO()
                Session(None, Execution("id", (array,)), configuration).save(stream)
                stream.seek(0)
                assert Session().restore(stream).execution.args[0].shape == array.shape
        finally:
            ended.set()
            thread.join()
