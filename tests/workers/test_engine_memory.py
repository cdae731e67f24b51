"""Large data of calls that an executor carries, between processes of one machine."""

import io
import mmap
import os
import socket
import sys

import pytest

from bandsaw._system.interrupts import owned
from bandsaw._workers import bulk_files, envelope, frames
from bandsaw._workers.executor import engine_bulk, engine_claims, in_worker
from bandsaw._workers.executor.engine_memory import hand_over, shared_at
from bandsaw.errors import ProtocolError
from bandsaw.run import get_run_id

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="has no files in memory")


def in_file(data):
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    return descriptor


def test_what_is_lent_stays_as_it_was_when_its_owner_uses_the_memory_again():
    contents = bytes(range(256)) * 100
    head, pieces, size = envelope.laid_out({"execution.buffers": [contents]})
    file = in_file(bytes(5000) + b"".join(pieces) + b"rest")
    place = (5000).to_bytes(8, "big")
    frame = frames.Frame(frames.SESSION, head + place, owned(os.dup(file)))
    (part,) = envelope.members(frame)["execution.buffers"].parts([len(contents)])
    part[0] = 7
    bulk_files.keep_lent()
    os.pwrite(file, b"x" * (5000 + size), 0)
    os.close(file)
    assert part == b"\7" + contents[1:]


def test_the_file_behind_shared_memory_is_found():
    file = in_file(bytes(10_000) + b"ab" * 5000)
    shared = memoryview(mmap.mmap(file, 20_000))
    path, place = shared_at([shared[10_000:12_000], shared[12_000:15_001]])
    with open(path, "rb") as found:
        found.seek(place)
        assert found.read(5001) == shared[10_000:15_001]
    assert shared_at([shared[10_000:12_000], shared[12_001:15_000]]) is None
    assert shared_at([memoryview(bytearray(1000))]) is None
    private = memoryview(mmap.mmap(file, 20_000, access=mmap.ACCESS_COPY))
    assert shared_at([private]) is None
    os.close(file)


def test_a_file_is_handed_over_at_the_door_to_who_waits_for_it():
    file = in_file(b"result")
    for call in ("one", "two"):
        assert hand_over(file, engine_bulk.door(), call)
    os.close(file)
    engine_bulk.forget("one")
    with engine_bulk.take("two") as taken:
        assert isinstance(taken, io.FileIO)
        assert os.pread(taken.fileno(), 10, 0) == b"result"
    for call in ("one", "two"):
        with pytest.raises(ProtocolError, match="not handed over"):
            engine_bulk.take(call)
    assert not hand_over(0, "bandsaw-nowhere", "one")


@pytest.mark.parametrize("fails", ["__init__", "bind"])
def test_where_there_are_no_such_sockets_data_takes_the_other_way(monkeypatch, fails):
    class Refused(socket.socket):
        pass

    def refuse(*_):
        raise PermissionError("not in this container")

    monkeypatch.setattr(engine_bulk, "_socket", None)
    monkeypatch.setattr(Refused, fails, refuse)
    monkeypatch.setattr(socket, "socket", Refused)
    assert engine_bulk.door() == ""
    assert not hand_over(0, "nowhere", "call")


def test_a_path_of_another_machine_is_not_opened(tmp_path):
    file = in_file(b"of somebody else")
    sent = {"data": f"/proc/{os.getpid()}/fd/{file}"}
    request = {
        "caller": engine_claims.caller(os.getpid()),
        "claims": str(tmp_path),
        "engine": "",
        "files_seen": "another machine",
        "repeats": True,
    }
    caller = in_worker.WaitingProcess("", "call", request)
    answer = in_worker.run(caller, "digest", None, get_run_id(), "", b"", sent)
    os.close(file)
    assert answer == in_worker.UNSEEN


def test_what_a_worker_handed_over_before_it_was_lost_is_let_go(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from concurrent.futures import Future
        from threading import Thread

        class Losing:
            is_lost = True

            def submit(self, function, *args):
                future = Future()
                future.set_running_or_notify_cancel()

                def run():
                    answer = function(*args)
                    if answer[0] == "events" and self.is_lost:
                        future.set_exception(RuntimeError("the worker is lost"))
                    else:
                        future.set_result(answer)

                Thread(target=run).start()
                return future

        executor = Losing()
        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(executor))
        """,
    )
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw, bandsaw_config

        @bandsaw.task
        def large():
            return bytes(1 << 22)

        if __name__ == "__main__":
            try:
                large()
            except bandsaw.errors.WorkerDiedError as error:
                assert "the worker is lost" in str(error)
            bandsaw_config.executor.is_lost = False
            assert len(large()) == 1 << 22
            paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
            opened = [os.readlink(path) for path in paths if os.path.lexists(path)]
            assert not any("memfd:bandsaw" in path for path in opened), opened
        """,
    )
    project.run("workflow.py")


def test_a_call_that_cannot_be_cancelled_any_more_gives_what_it_returns(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from concurrent.futures import ThreadPoolExecutor

        advice = ExecutorAdvice(ThreadPoolExecutor(1))
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        def wait_for(path):
            while not os.path.exists(path):
                time.sleep(0.01)

        @bandsaw.task
        def large():
            open("begun", "w").close()
            wait_for("go")
            return bytes(1 << 22)

        if __name__ == "__main__":
            future = large.submit()
            wait_for("begun")
            assert not future.cancel()
            open("go", "w").close()
            assert len(future.result()) == 1 << 22
        """,
    )
    project.run("workflow.py")
