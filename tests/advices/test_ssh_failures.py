"""What goes wrong over a real SSH server, and what the caller is told of it."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

import bandsaw
from bandsaw._files import crossing
from bandsaw._system import file_contents
from bandsaw._workers.ssh import archive_sending, ssh_connection, ssh_start
from bandsaw.advices.ssh import Remote
from bandsaw.errors import (
    BandsawError,
    RemoteCommandError,
    RemoteConnectionError,
    TaskTimeoutError,
    WorkerDiedError,
    WorkerError,
    WorkerStartError,
)
from tests.conftest import ROOT, coverage_variables, lacking
from tests.faults import ssh_configuration, ssh_server, ssh_tasks

pytestmark = [pytest.mark.xdist_group("failures over SSH"), pytest.mark.slow]
_SECONDS = 200


@pytest.fixture(scope="module")
def server():
    """A server that may be stopped and started."""
    try:
        server = ssh_server.Server(coverage_variables())
    except RuntimeError as error:
        lacking(str(error))
    with server:
        yield server


class Far:
    """The far side of a test, with a directory of its own."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.directory = folder / "far"
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.remote()

    def remote(self, name="default", executable=sys.executable, **changed):
        """Adds a remote."""
        changed = {"directory": self.directory, **changed}
        interpreter = bandsaw.Interpreter(executable=str(executable))
        for advice in ssh_configuration.own, ssh_configuration.warm:
            advice.add_remote(
                Remote(interpreter=interpreter, **self.server.arguments(**changed)), name
            )

    def wrapper(self, text):
        """Makes an executable that does something and becomes the interpreter."""
        path = self.folder / f"wrapper-{len(list(self.folder.iterdir()))}"
        path.write_text(f'#!/bin/sh\n{text}\nexec {sys.executable} "$@"\n')
        path.chmod(0o700)
        return path

    def call(self, name, *args, remote="default", **options):
        """Calls one of `ssh_tasks`."""
        return ssh_tasks.on(remote, **options)(getattr(ssh_tasks, name))(*args)

    def heard(self):
        """Waits until the hub has told all that had happened there when this was called."""
        (opened,) = ssh_connection._known.values()
        for _ in range(2):
            stream = ssh_connection.Stream(opened)
            stream.send(b"D", b"0" * 32)
            assert stream.wait(_SECONDS)
            stream.release()

    def ran(self):
        """Returns process, fork server and hub for each time that a task has noted them."""
        found = [path.name.split("-")[1:] for path in self.notes.glob("ran-*")]
        return [tuple(map(int, pids)) for pids in found]


@pytest.fixture
def far(server, tmp_path):
    yield Far(server, tmp_path)
    ssh_connection.close_all()
    assert server.is_empty(), server.processes()
    assert ssh_server.clients(server.port) == []
    assert ssh_server.left_in(tmp_path / "far") == []


class Threads:
    """Calls functions in threads that no test waits for when it fails."""

    def submit(self, function, *args, **options):
        future = Future()

        def run():
            try:
                future.set_result(function(*args, **options))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def map(self, function, values):
        futures = [self.submit(function, value) for value in values]
        return [future.result(_SECONDS) for future in futures]


@pytest.fixture
def threads():
    return Threads()


def lose_connection(server, hub):
    server.cut(hub)


def lose_hub(server, hub):
    ssh_server.kill(hub)


def lose_client(server, hub):
    (client,) = ssh_server.clients(server.port)
    ssh_server.kill(client)


LOSSES = [lose_connection, lose_hub, lose_client]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("chain", ["default", "warm"])
def test_a_connection_lost_in_the_middle_of_a_call_is_an_error_that_says_so(
    far, threads, wait_until, lose, chain
):
    answer = threads.submit(far.call, "hangs_with_child", far.notes, chain=chain)
    wait_until(far.ran)
    ((pid, fork_server, hub),) = far.ran()
    (child,) = (int(path.name.partition("-")[2]) for path in far.notes.glob("child-*"))
    lose(far.server, hub)
    error = answer.exception(_SECONDS)
    assert type(error) is RemoteConnectionError
    assert isinstance(error, subprocess.CalledProcessError)
    told = str(error)
    for part in ("tests.faults.ssh_tasks.hangs_with_child", "lost", "127.0.0.1"):
        assert part in told
    assert {
        lose_connection: "closed by remote host",
        lose_hub: "exit code 255",
        lose_client: "SIGKILL",
    }[lose] in told
    for gone in (pid, fork_server, hub, child):
        wait_until.gone(gone)
    assert far.server.is_empty()
    assert far.call("same", 1, chain=chain) == 1


@pytest.mark.parametrize("chain", ["default", "warm"])
@pytest.mark.parametrize("lose", LOSSES)
def test_a_connection_lost_between_calls_is_replaced(far, wait_until, chain, lose):
    _, _, hub = far.call("where", chain=chain)
    far.server.stop()
    # A connection that is open needs no server.
    assert far.call("where", chain=chain)[2] == hub
    lose(far.server, hub)
    wait_until(lambda: ssh_server.clients(far.server.port) == [])
    far.server.start()
    assert far.call("where", chain=chain)[2] != hub
    assert far.server.hubs() and hub not in far.server.processes()


def test_a_server_that_is_gone_is_told_with_the_words_of_ssh(far, wait_until):
    far.call("same", 1)
    far.server.stop()
    try:
        far.server.cut()
        wait_until(lambda: ssh_server.clients(far.server.port) == [])
        for _ in range(2):
            with pytest.raises(RemoteConnectionError, match="Connection refused") as caught:
                far.call("same", 1)
            assert "127.0.0.1" in str(caught.value)
            assert "tests.faults.ssh_tasks.same" in str(caught.value)
            assert caught.value.returncode == 255
            assert "Connection refused" in caught.value.stderr
    finally:
        far.server.start()
    assert far.call("same", 1) == 1


def test_a_host_key_that_has_changed_is_refused(far, tmp_path):
    other = (far.server.folder / "client.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{far.server.port} {other}")
    options = {**far.server.arguments()["options"], "UserKnownHostsFile": str(tmp_path / "known")}
    far.remote(options=options)
    with pytest.raises(RemoteConnectionError, match="HOST IDENTIFICATION HAS CHANGED") as caught:
        far.call("same", 1)
    assert "127.0.0.1" in str(caught.value)
    assert far.server.processes() == []


def test_a_wrong_user_is_refused(far):
    far.remote(user="nobody")
    with pytest.raises(
        RemoteConnectionError, match="Could not reach 127.0.0.1: nobody@127.0.0.1: Perm"
    ):
        far.call("same", 1)


def test_a_missing_interpreter_is_named(far):
    far.remote(executable="/not/there/python")
    with pytest.raises(RemoteCommandError, match="/not/there/python.* cannot be run"):
        far.call("same", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo nonsense; echo 'my last words' >&2; exit 3", "exit code 3.*my last words"),
        ("echo nonsense; exit 0", "did not answer"),
        ("head -c 2000000 /dev/zero; exit 0", "printed without end"),
        ("kill -9 $$", "exit code 255"),
    ],
)
def test_what_is_no_python_is_an_error_in_the_end(far, text, said):
    far.remote(executable=far.wrapper(text))
    with pytest.raises(RemoteConnectionError, match=f"(?s)127.0.0.1.*{said}"):
        far.call("same", 1)


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        ((3, 8, 7), WorkerStartError, r"Python 3\.8\.7.*needs Python 3\.9 or newer"),
        ((2, 7, 18), RemoteConnectionError, r"needs Python 3\.9 or newer, and this is 2\.7\.18\n"),
    ],
)
def test_a_python_that_is_too_old_is_told_with_its_version(far, version, kind, said):
    old = (
        f"import sys; sys.version_info = type('V', (tuple,), {{}})((*{version}, 'final', 0)); "
        "exec(sys.argv[1])"
    )
    far.remote(executable=far.wrapper(f'exec {sys.executable} -c "{old}" "$3"'))
    with pytest.raises(kind, match=said):
        far.call("same", 1)


def test_a_directory_that_cannot_be_made_is_named(far, tmp_path):
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        far.remote(directory=directory)
        with pytest.raises(WorkerStartError) as caught:
            far.call("same", 1)
        assert str(directory) in str(caught.value)
        assert "127.0.0.1" in str(caught.value)


def test_a_directory_that_is_full_is_named(far, tmp_path):
    (tmp_path / "full").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", tmp_path / "full"]
    is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    limit = "true" if is_mounted else "ulimit -f 20"
    far.remote(executable=far.wrapper(limit), directory=tmp_path / "full")
    try:
        with pytest.raises(WorkerStartError, match="No space left|too large") as caught:
            far.call("same", 1)
        assert far.server.is_empty()
        assert ssh_server.left_in(tmp_path / "full") == []
        assert str(tmp_path / "full") in str(caught.value)
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", tmp_path / "full"], check=True)


@pytest.mark.parametrize(
    "text",
    [
        "echo 'Welcome! {\"error\": 1}'; echo 'and here' >&2",
        "head -c 500000 /dev/urandom; head -c 500000 /dev/urandom >&2",
        "head -c 500000 /dev/zero; printf '\\033[2J\\n\\r\\377'; head -c 500000 /dev/zero >&2",
    ],
)
def test_what_is_printed_before_the_program_begins_does_no_harm(far, text):
    far.remote(executable=far.wrapper(text))
    data = random.Random(1).randbytes(300_000)
    assert [far.call("same", value) for value in (1, data)] == [1, data]


@pytest.mark.parametrize("chain", ["default", "warm"])
@pytest.mark.parametrize("who", [0, 1, 2])
def test_a_task_that_ends_what_it_runs_in_harms_no_later_call(far, who, chain):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        far.call("kills", who, chain=chain)
    assert type(caught.value) is (RemoteConnectionError if who == 2 else WorkerDiedError)
    assert "tests.faults.ssh_tasks.kills" in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert far.call("same", 1, chain=chain) == 1


@pytest.mark.parametrize("chain", ["default", "warm"])
@pytest.mark.parametrize("who", [0, 1])
def test_what_dies_between_calls_is_replaced(far, wait_until, who, chain):
    victim = far.call("where", chain=chain)[who]
    hub = far.call("where", chain=chain)[2]
    if who or chain == "warm":
        ssh_server.kill(victim)
    wait_until.gone(victim)
    if who:
        wait_until(lambda: far.server.pythons() == [hub])
    far.heard()
    assert far.call("where", chain=chain)[who] != victim
    assert far.call("where", chain=chain)[2] == hub


def test_an_archive_that_somebody_removes_meanwhile_is_sent_again(far):
    hub = far.call("where")[2]
    (root,) = far.directory.iterdir()
    shutil.rmtree(root)
    with pytest.raises(WorkerError, match="removed the archive"):
        far.call("where")
    assert far.call("where")[2] == hub
    assert far.call("where", chain="warm")[2] == hub


def test_a_call_after_one_that_closed_descriptors_goes_to_another_process(far):
    first = far.call("where", chain="warm")[0]
    far.call("closes", chain="warm")
    assert far.call("where", chain="warm")[0] != first


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_a_task_begins_where_a_login_does(far, chain):
    home = far.call("moves", "/", chain=chain)
    assert home != "/"
    assert far.call("moves", "/tmp", chain=chain) == home


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_a_remote_that_replaces_another_one_is_used_at_once(far, chain):
    other = far.folder / "other"
    first = far.call("where", chain=chain)[2]
    far.remote(directory=other)
    assert far.call("where", chain=chain)[2] != first
    assert [path.name for path in other.iterdir()] == [f"bandsaw-{os.geteuid()}"]


def test_a_process_that_was_forked_from_the_caller_leaves_its_calls_alone(far, wait_until, threads):
    # The order in which modules are imported was once what mattered.
    from bandsaw._workers import call  # noqa: F401

    far.call("same", 1)
    running = threads.submit(far.call, "waits_for", far.notes, "go")
    wait_until(far.ran)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (far.notes / "go").touch()
    assert running.result(_SECONDS) == far.ran()[0][0]
    assert far.call("where")[2] == far.ran()[0][2]


def test_a_forked_process_shares_no_result_with_the_caller(far):
    numpy = pytest.importorskip("numpy")
    array = far.call("same", numpy.zeros(1_000_000))
    child = os.fork()
    if child == 0:
        array[:] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert not array.any()


def test_a_result_without_room_here_is_the_matter_of_its_task_only(far, monkeypatch):
    def no_room(size):
        raise MemoryError

    hub = far.call("where")[2]
    with monkeypatch.context() as patched:
        patched.setattr("bandsaw._workers.ssh.multiplexer.room", no_room)
        with pytest.raises(WorkerError, match="no room here"):
            far.call("makes", 1_000_000)
    assert far.call("where")[2] == hub
    assert far.call("makes", 1_000_000) == bytes(1_000_000)


def test_fork_servers_of_older_archives_end(far, tmp_path, monkeypatch, wait_until):
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(7):
        (tmp_path / f"added_{number}.py").write_text("def f():\n    return 1\n")
        module = __import__(f"added_{number}")
        assert ssh_tasks.on("default")(module.f)() == 1
    hub = far.call("where")[2]
    # The newest ones, each with a process for the next call, and the hub.
    wait_until(lambda: len(far.server.pythons()) <= 1 + 4 * 2)
    assert hub in far.server.hubs()


def test_a_task_that_takes_too_long_is_ended_with_what_it_started(far, wait_until):
    far.call("same", 1)
    for chain in ("default", "warm"):
        with pytest.raises(TaskTimeoutError, match="127.0.0.1"):
            far.call("hangs_with_child", far.notes, chain=chain, timeout=1.5)
    assert len(far.ran()) == 2
    for pid, _, _ in far.ran():
        wait_until.gone(pid)
    for path in far.notes.glob("child-*"):
        wait_until.gone(int(path.name.partition("-")[2]))
    assert far.call("same", 1) == 1
    # The connection was none of its business.
    assert {hub for *_, hub in far.ran()} == {far.call("where")[2]}


@pytest.fixture
def interrupts(threads, wait_until):
    """Calls a function, and interrupts it at each of some moments that it comes to."""
    main = threading.main_thread().ident
    is_inside = False

    def raise_inside(*_):
        if is_inside:
            raise KeyboardInterrupt

    def interrupts(moments, function, *args, **options):
        nonlocal is_inside

        def send():
            for moment in moments:
                wait_until(lambda moment=moment: moment() or not is_inside)
                signal.pthread_kill(main, signal.SIGINT)

        def call():
            nonlocal is_inside
            try:
                function(*args, **options)
            finally:
                is_inside = False

        is_inside = True
        sent = threads.submit(send)
        with pytest.raises(KeyboardInterrupt):
            call()
        sent.result(_SECONDS)

    before = signal.signal(signal.SIGINT, raise_inside)
    yield interrupts
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_an_interrupt_ends_the_task_and_no_other(far, threads, wait_until, interrupts, chain):
    (far.notes / "other").mkdir()
    other = threads.submit(far.call, "waits_for", far.notes / "other", "go")
    wait_until(lambda: list((far.notes / "other").iterdir()))
    interrupts([far.ran], far.call, "hangs_with_child", far.notes, chain=chain)
    ((pid, _, hub),) = far.ran()
    wait_until.gone(pid)
    (child,) = far.notes.glob("child-*")
    wait_until.gone(int(child.name.partition("-")[2]))
    # The other thread may be the one that reads for both now, or have been so before.
    assert far.call("where")[2] == hub
    assert not other.done()
    (far.notes / "other" / "go").touch()
    assert other.result(_SECONDS)


def is_in(function):
    """Whether the main thread is in a function."""
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None:
        if frame.f_code is function.__code__:
            return True
        frame = frame.f_back
    return False


def is_sending():
    """Whether the main thread waits for the connection to take more."""
    return is_in(ssh_start.Login.write)


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_an_interrupt_while_much_is_sent_leaves_nothing(
    far, threads, wait_until, interrupts, chain
):
    (far.notes / "other").mkdir()
    other = threads.submit(far.call, "waits_for", far.notes / "other", "go")
    wait_until(lambda: list((far.notes / "other").iterdir()))
    hub = far.call("where")[2]
    data = bytes(50_000_000)
    # It takes nothing more, so that the interrupt cannot come too late.
    os.kill(hub, signal.SIGSTOP)
    try:
        interrupts([is_sending], far.call, "same", data, chain=chain)
    finally:
        os.kill(hub, signal.SIGCONT)
    (far.notes / "other" / "go").touch()
    # Half a message is on its way: the connection cannot be used any more, nor by the others.
    assert isinstance(other.exception(_SECONDS), (RemoteConnectionError, type(None)))
    assert far.call("same", 1, chain=chain) == 1
    wait_until.gone(hub)
    assert len(far.server.hubs()) == 1


def test_a_second_interrupt_does_not_leave_half_a_message_behind(far, threads, interrupts):
    hub = far.call("where")[2]
    os.kill(hub, signal.SIGSTOP)

    def is_giving_up():
        return is_in(ssh_connection.Connection._lose) or is_in(ssh_start.Login.ended)

    try:
        interrupts([is_sending, is_giving_up], far.call, "same", bytes(50_000_000))
    finally:
        os.kill(hub, signal.SIGCONT)
    assert threads.submit(far.call, "same", 1).result(_SECONDS) == 1
    assert far.call("where")[2] != hub


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_many_threads_share_a_connection(far, threads, chain):
    def calls(seed):
        generator = random.Random(seed)
        for size in (1, 5_000_000, *(int(10 ** generator.uniform(0, 6)) for _ in range(8))):
            data = generator.randbytes(size)
            if far.call("same", (seed, data), chain=chain) != (seed, data):
                return False
        return True

    far.call("same", 1)
    assert threads.map(calls, range(8)) == [True] * 8
    assert len(far.server.hubs()) == 1


def test_much_output_arrives_whole_while_other_calls_go_on(far, threads, capsys):
    answers = [threads.submit(far.call, "prints", 5_000_000, name) for name in ("stdout", "stderr")]
    calls = 0
    while not all(answer.done() for answer in answers) or not calls:
        assert far.call("same", calls) == calls
        calls += 1
    assert [answer.result() for answer in answers] == [5_000_000] * 2
    for text in capsys.readouterr():
        assert text == "".join(f"{number:09}\n" for number in range(500_000))


def test_output_that_nobody_takes_keeps_no_other_call_waiting(far, threads, monkeypatch):
    far.call("same", 1)
    may_go_on, waits = threading.Event(), threading.Event()

    class Slow:
        encoding = "utf-8"
        size = 0

        def write(self, text):
            waits.set()
            assert may_go_on.wait(60)
            self.size += len(text)

        def flush(self):
            pass

    slow = Slow()
    monkeypatch.setattr(sys, "stdout", slow)
    try:
        answer = threads.submit(far.call, "prints", 5_000_000)
        assert waits.wait(_SECONDS)
        data = bytes(3_000_000)
        assert [far.call("same", value) for value in (1, data, 2)] == [1, data, 2]
    finally:
        may_go_on.set()
    assert answer.result(_SECONDS) == 5_000_000
    assert slow.size == 5_000_000


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_a_task_is_run_again_when_the_connection_is_lost(far, threads, wait_until, chain, caplog):
    answer = threads.submit(far.call, "hangs_once", far.notes, retries=2, chain=chain)
    wait_until(far.ran)
    ((pid, _, hub),) = far.ran()
    far.server.cut(hub)
    assert answer.result(_SECONDS) != pid
    assert len(far.ran()) == 2
    assert "is run again" in caplog.text


@pytest.mark.parametrize("chain", ["default", "warm"])
def test_a_task_is_run_again_when_its_files_are_lost_with_the_connection(
    far, monkeypatch, tmp_path, chain
):
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))

    def on_the_lost(method):
        def lose(near, *args):
            setattr(crossing.Near, method.__name__, method)
            far.server.cut()
            return method(near, *args)

        monkeypatch.setattr(crossing.Near, method.__name__, lose)

    far.call("twins", [bandsaw.File(path)], chain=chain)
    for method in (crossing.Near.look, crossing.Near.get):
        on_the_lost(method)
        found = far.call("twins", [bandsaw.File(path)], retries=1, chain=chain)
        assert [Path(file).read_bytes() for file in found] == [bytes(300_000)] * 2
        on_the_lost(method)
        with pytest.raises(RemoteConnectionError, match="was lost with the connection"):
            far.call("twins", [bandsaw.File(path)], chain=chain)
    # Contents are kept there, as archives are.
    for kept in far.directory.glob("bandsaw-*/files"):
        file_contents.remove(str(kept))


def test_a_task_is_run_again_only_so_often(far):
    assert far.call("kills_once", far.notes, 2, retries=1) == 7
    assert len(far.ran()) == 2
    far.server.stop()
    try:
        far.server.cut()
        with pytest.raises(RemoteConnectionError):
            far.call("note", far.notes, retries=2)
    finally:
        far.server.start()
    assert len(far.ran()) == 2


@pytest.mark.parametrize(
    ("name", "args", "kind"),
    [("raises", (), ssh_tasks.OwnError), ("kills_once", (0,), WorkerDiedError)],
)
def test_what_the_task_itself_does_is_no_reason_to_run_it_again(far, name, args, kind):
    with pytest.raises(kind):
        far.call(name, far.notes, *args, retries=2)
    assert len(far.ran()) == 1


def test_a_remote_that_is_gone_is_replaced_by_another_one(far, sshd_module):
    far.remote("gone", port=sshd_module._free_port())
    far.remote("there")
    assert far.call("same", 1, remote=["gone", "there"], retries=1) == 1


def test_of_several_remotes_the_least_busy_one_is_taken(far, threads, wait_until, tmp_path):
    for name in ("a", "b", "c"):
        far.remote(name, directory=tmp_path / "far" / f"of {name}")
    answers = []
    for number in range(6):
        remote = ["a", "b", "c"]
        answers.append(threads.submit(far.call, "waits_for", far.notes, "go", remote=remote))
        wait_until(lambda number=number: len(far.ran()) > number)
    hubs = [hub for *_, hub in far.ran()]
    assert sorted(hubs.count(hub) for hub in set(hubs)) == [2, 2, 2]
    (far.notes / "go").touch()
    assert all(answer.result(_SECONDS) for answer in answers)
    for name in ("a", "b", "c"):
        folder = tmp_path / "far" / f"of {name}"
        assert ssh_server.left_in(folder) == []
        folder.rename(tmp_path / name)


def test_records_of_logging_say_on_which_host_they_were_made(far, caplog):
    for chain in ("default", "warm"):
        caplog.clear()
        far.call("logs", chain, chain=chain)
        (record,) = (record for record in caplog.records if record.name == "far.logger")
        assert record.getMessage() == f"it is {chain}"
        assert record.levelno == logging.WARNING
        assert record.bandsaw_host == "127.0.0.1"
        assert record.bandsaw_task == "tests.faults.ssh_tasks.logs"


def archives(directory):
    return list((directory / f"bandsaw-{os.geteuid()}" / "archives").iterdir())


def shorten(archive):
    (archive / "bandsaw" / "session.py").write_bytes(b"raise SystemExit(1)")


def remove_file(archive):
    (archive / "bandsaw" / "session.py").unlink()


def shorten_manifest(archive):
    (archive / "bandsaw-archive.json").write_bytes(b'{"digest": ')


def be_no_folder(archive):
    archive.rename(archive.parent.parent.parent.parent / "aside")
    archive.write_bytes(b"")


@pytest.mark.parametrize("damage", [shorten, remove_file, shorten_manifest, be_no_folder])
def test_an_archive_that_was_damaged_there_is_repaired(far, damage):
    far.call("same", 1)
    ssh_connection.close_all()
    (archive,) = archives(far.directory)
    text = (archive / "bandsaw" / "session.py").read_bytes()
    damage(archive)
    assert far.call("same", 2) == 2
    assert archives(far.directory) == [archive]
    assert (archive / "bandsaw" / "session.py").read_bytes() == text


def open_to_all(path, tmp_path):
    path.mkdir()
    path.chmod(0o777)


def open_below(path, tmp_path):
    path.mkdir(0o700)
    (path / "archives").mkdir()
    (path / "archives").chmod(0o770)


def link(path, tmp_path):
    (tmp_path / "elsewhere").mkdir(0o700)
    path.symlink_to(tmp_path / "elsewhere")


def link_below(path, tmp_path):
    (tmp_path / "elsewhere").mkdir(0o700)
    path.mkdir(0o700)
    (path / "archives").symlink_to(tmp_path / "elsewhere")


def a_file(path, tmp_path):
    path.touch()


def of_another_user(path, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    "take", [open_to_all, open_below, link, link_below, a_file, of_another_user]
)
def test_a_folder_that_somebody_else_has_taken_is_not_used(far, tmp_path, take):
    far.directory.mkdir()
    path = far.directory / f"bandsaw-{os.geteuid()}"
    take(path, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert far.call("same", 1) == 1
    (own,) = (each for each in far.directory.iterdir() if each != path)
    assert own.name.startswith(f"bandsaw-{os.geteuid()}-")
    assert own.stat().st_mode & 0o777 == 0o700
    ssh_connection.close_all()
    # It was for this connection only.
    assert far.server.is_empty()
    assert sorted(tmp_path.rglob("*")) == before


DRIVER = """
import sys
from tests.faults import ssh_configuration, ssh_tasks
from bandsaw._files import crossing
from bandsaw._system import file_contents
from bandsaw.advices.ssh import Remote
import bandsaw

arguments = eval(sys.argv[1])
interpreter = bandsaw.Interpreter(executable=sys.executable)
ssh_configuration.own.add_remote(Remote(interpreter=interpreter, **arguments))
print("ready", flush=True)
sys.stdin.readline()
data = bytes(300_000)
assert ssh_tasks.on("default")(ssh_tasks.same)(data) == data
print(ssh_tasks.on("default")(ssh_tasks.where)()[2])
"""


OPTIMIZED = (
    DRIVER.partition("print(")[0]
    + """
print(ssh_tasks.on("default")(ssh_tasks.optimized)())
"""
)


@pytest.mark.parametrize("options", [["-O"], ["-OO"], []], ids=["-O", "-OO", "none"])
def test_options_that_change_results_reach_the_other_machine(far, options):
    command = [
        sys.executable,
        *options,
        "-c",
        OPTIMIZED,
        repr(far.server.arguments(directory=str(far.directory))),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    level = len("".join(options)[1:])
    assert done.stdout == f"{(level, level > 0)}\n", done.stderr


def test_drivers_may_begin_at_once_with_a_directory_that_is_not_there(far, tmp_path):
    arguments = far.server.arguments(directory=str(far.directory))
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", DRIVER, repr(arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for driver in drivers:
        assert driver.stdout.readline() == "ready\n"
    for driver in drivers:
        driver.stdin.write("\n")
        driver.stdin.flush()
    told = [driver.communicate(timeout=300) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0] * 4, told
    assert len({out for out, _ in told}) == 4
    assert len(archives(far.directory)) == 1


def test_a_process_that_was_forked_has_a_connection_of_its_own(far):
    hub = far.call("where")[2]
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            own = far.call("where")[2]
            ssh_connection.close_all()
            os.write(writing, b"%d" % own)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        assert int(stream.read()) != hub
    os.waitpid(pid, 0)
    assert far.call("where")[2] == hub


@pytest.mark.parametrize("moment", ["T", "P", "M", "Z", "D"])
def test_a_connection_that_is_lost_while_something_is_sent_is_typed(far, moment, monkeypatch):
    """The same as when it is lost at any other moment, and no bare `BrokenPipeError`."""
    hub = far.call("where")[2]
    stream_send = ssh_connection.Stream.send

    def send(self, letter, *pieces):
        if letter == moment.encode() and ssh_server.clients(far.server.port):
            monkeypatch.setattr(ssh_connection.Stream, "send", stream_send)
            self.connection._login.kill()
            self.connection._login._process.wait()
        stream_send(self, letter, *pieces)

    if moment == "T":
        far.remote()
        ssh_configuration.own.remotes["default"].interpreter.set_environment(PYTHONHASHSEED="7")
    if moment in "ZD":
        (known,) = [each for each in ssh_connection._open if each.target.directory]
        known.digests.clear()
        known.fork_servers.clear()
    if moment == "Z":
        (archive,) = archives(far.directory)
        shorten(archive)
    monkeypatch.setattr(ssh_connection.Stream, "send", send)

    def calls():
        for _ in range(3):  # a process was prepared for the next one
            far.call("same", 1)

    with pytest.raises(RemoteConnectionError, match="127.0.0.1"):
        calls()
    assert ssh_connection.Stream.send is stream_send
    assert far.call("where")[2] != hub


def test_a_connection_that_is_lost_while_the_archive_is_sent_is_typed(far, monkeypatch):
    send = archive_sending.send

    def cutting(*args):
        for pid in ssh_server.clients(far.server.port):
            ssh_server.kill(pid)
        for each in ssh_connection._open:
            each._login._process.wait()
        send(*args)

    monkeypatch.setattr(archive_sending, "send", cutting)
    with pytest.raises(RemoteConnectionError, match="127.0.0.1"):
        far.call("same", 1)
    monkeypatch.undo()
    assert far.call("same", 1) == 1


def test_an_ssh_that_ends_at_once_is_typed(far, tmp_path, monkeypatch):
    (tmp_path / "ssh").write_text("#!/bin/sh\nexec <&-\necho bad luck >&2\nexit 255\n")
    (tmp_path / "ssh").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    popen = subprocess.Popen

    class Late(popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.wait()

    monkeypatch.setattr(ssh_start.subprocess, "Popen", Late)
    with pytest.raises(RemoteConnectionError, match="bad luck"):
        far.call("same", 1)


def test_a_thread_that_is_lost_with_others_is_told_as_they_are(far, threads, wait_until):
    answers = [threads.submit(far.call, "hangs", far.notes) for _ in range(8)]
    wait_until(lambda: len(far.ran()) == 8)
    (hub,) = {hub for *_, hub in far.ran()}
    far.server.cut(hub)
    errors = [answer.exception(_SECONDS) for answer in answers]
    assert {type(error) for error in errors} == {RemoteConnectionError}
    assert all("closed by remote host" in str(error) for error in errors)


def test_a_far_side_that_stopped_is_lost_also_while_it_is_sent_to(far, threads, monkeypatch):
    """A deadline holds although nothing is taken any more."""
    for module in (ssh_start, ssh_connection):
        monkeypatch.setattr(module, "SILENT_SECONDS", 2.0)
    hub = far.call("where")[2]
    os.kill(hub, signal.SIGSTOP)
    try:
        answer = threads.submit(far.call, "same", bytes(50_000_000), timeout=2)
        error = answer.exception(_SECONDS)
        assert isinstance(error, BandsawError)
    finally:
        os.kill(hub, signal.SIGCONT)


def test_a_far_side_that_stopped_is_lost_while_it_is_waited_for(
    far, threads, monkeypatch, wait_until
):
    for module in (ssh_start, ssh_connection):
        monkeypatch.setattr(module, "SILENT_SECONDS", 2.0)
    answer = threads.submit(far.call, "hangs", far.notes)
    wait_until(lambda: len(far.ran()) == 1)
    ((*_, hub),) = far.ran()
    os.kill(hub, signal.SIGSTOP)
    try:
        error = answer.exception(_SECONDS)
        assert isinstance(error, RemoteConnectionError)
        assert "no sign of life" in str(error)
    finally:
        os.kill(hub, signal.SIGCONT)


def test_a_connection_that_two_threads_close_is_read_by_none_after_it_was_closed(far, monkeypatch):
    assert far.call("same", 1) == 1
    (opened,) = ssh_connection._known.values()
    finish, descriptors = opened._login.finish, []

    def finish_late(is_read):
        monkeypatch.setattr(opened._login, "finish", finish)
        opened.close(now=True)  # as another thread does that finds it lost
        descriptors.append(os.fstat(opened._login.out))
        finish(is_read)

    monkeypatch.setattr(opened._login, "finish", finish_late)
    opened.close()
    assert descriptors
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(opened._login.out)
