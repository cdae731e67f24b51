import contextlib
import errno
import os
import re
import signal
import sys
import time
import types
import zlib

import pytest

import bandsaw
from bandsaw._archive import keep, unpack
from bandsaw._archive.arriving import ArrivingArchive, named_by
from bandsaw._workers.ssh import archive_sending, bootstrap, hub_fork_servers, ssh_start
from bandsaw.advices._openssh import _BOOT
from bandsaw.distribution import get_distribution_archive
from bandsaw.errors import RemoteConnectionError
from tests.faults.workers_seen import descriptors

OWN = f"bandsaw-{os.geteuid()}"


@pytest.fixture(scope="module")
def archive():
    return get_distribution_archive(bandsaw.Configuration())


def sent(archive, folder, damage=lambda piece: piece):
    """Sends an archive to a folder, and returns the names of the files that were sent."""
    arriving, names = ArrivingArchive(str(folder)), []

    def ask():
        bits = arriving.end_part()
        if bits:
            names.extend(named_by(bits, archive.members))
        return bits

    archive_sending.send(
        archive, keep.tag(), lambda piece: arriving.take(damage(piece)), ask, "there"
    )
    return names


def test_the_folder_for_what_is_kept_is_closed_to_others(tmp_path):
    root, is_temporary = keep.kept_root(str(tmp_path / "not" / "there"))
    assert (root, is_temporary) == (str(tmp_path / "not" / "there" / OWN), False)
    assert os.stat(root).st_mode & 0o077 == 0
    assert keep.kept_root(str(tmp_path / "not" / "there")) == (root, False)


@pytest.mark.parametrize("kind", ["link", "file", "open to others", "archives open to others"])
def test_a_folder_that_is_not_ours_alone_is_not_used(tmp_path, kind):
    taken, elsewhere = tmp_path / OWN, tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if kind == "link":
        taken.symlink_to(elsewhere)
    elif kind == "file":
        taken.write_text("taken")
    else:
        (taken / "archives").mkdir(parents=True)
        taken.chmod(0o777 if kind == "open to others" else 0o700)
        (taken / "archives").chmod(0o777)
    root, is_temporary = keep.kept_root(str(tmp_path))
    assert is_temporary
    assert re.fullmatch(rf"{OWN}-\w+", os.path.basename(root))
    assert os.stat(root).st_mode & 0o077 == 0
    assert list(elsewhere.iterdir()) == []
    keep.remove(root)
    assert not os.path.exists(root)


@pytest.mark.parametrize("damage", ["none", "cut", "gone", "no folder", "manifest"])
def test_an_archive_is_put_where_it_is_not_whole(tmp_path, archive, damage):
    folder = tmp_path / archive.digest
    assert not unpack.is_whole(str(folder))
    assert set(sent(archive, folder)) == archive.members
    assert unpack.is_whole(str(folder))
    if damage == "cut":
        (folder / "bandsaw" / "tasks.py").write_text("")
    elif damage == "gone":
        (folder / "bandsaw" / "tasks.py").unlink()
    elif damage == "no folder":
        keep.remove(str(folder))
        folder.write_text("")
    elif damage == "manifest":
        (folder / keep.MANIFEST).write_text('{"digest": "0", "members": {}}')
    assert unpack.is_whole(str(folder)) is (damage == "none")
    lacking = {"none": 0, "cut": 1, "gone": 1}.get(damage, len(archive.members))
    assert len(sent(archive, folder)) == lacking
    assert unpack.is_whole(str(folder))
    assert [path.name for path in tmp_path.iterdir()] == [archive.digest]


def test_what_did_not_arrive_whole_is_not_kept(tmp_path, archive):
    def damaged(piece):
        return piece[:-9] + bytes([piece[-9] ^ 1]) + piece[-8:]

    for damage in (damaged, lambda piece: piece[:-20], lambda piece: b""):
        with pytest.raises((ValueError, zlib.error)):
            sent(archive, tmp_path / archive.digest, damage)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="another archive"):
        sent(archive, tmp_path / ("0" * 32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../outside.py",
        "../../__pycache__/outside.pyc",
        "bandsaw/__pycache__/../../x.pyc",
        "bandsaw/y.py",
    ],
)
def test_what_is_no_member_is_not_taken(tmp_path, archive, name):
    folder = tmp_path / "archives" / archive.digest
    folder.parent.mkdir()
    arriving = ArrivingArchive(str(folder))
    arriving.take(zlib.compress((archive.folder / keep.MANIFEST).read_bytes()))
    arriving.end_part()
    arriving.take(zlib.compress(archive_sending._head(name, 1) + b"x"))
    with pytest.raises(ValueError, match="does not belong"):
        arriving.end_part()
    assert [path.name for path in tmp_path.rglob("*")] == ["archives"]


def test_a_member_with_other_contents_is_not_taken(tmp_path, archive):
    folder = tmp_path / "archives" / archive.digest
    folder.parent.mkdir()
    arriving = ArrivingArchive(str(folder))
    arriving.take(zlib.compress((archive.folder / keep.MANIFEST).read_bytes()))
    arriving.end_part()
    size = (archive.folder / "bandsaw/advice.py").stat().st_size
    arriving.take(zlib.compress(archive_sending._head("bandsaw/advice.py", size) + b"x" * size))
    with pytest.raises(ValueError, match="did not arrive whole"):
        arriving.end_part()
    assert [path.name for path in tmp_path.rglob("*")] == ["archives"]


def test_only_what_is_old_and_ours_is_swept(tmp_path):
    archives = tmp_path / OWN / "archives"
    archives.mkdir(parents=True)
    old, now = time.time() - keep.KEPT_SECONDS - 60, time.time()
    unfinished = now - keep.IN_USE_SECONDS - 60
    made = {
        archives / ("a" * 32): (old, False),
        archives / ("b" * 32): (now, True),
        archives / ("c" * 32): (unfinished, True),
        archives / ".aaaaaaaa-xyz": (unfinished, False),
        archives / ".bbbbbbbb-xyz": (now, True),
        archives / "of somebody": (old, True),
        tmp_path / f"{OWN}-xyz": (old, False),
        tmp_path / f"{OWN}-new": (now, True),
        tmp_path / f"bandsaw-{'d' * 32}": (old, False),
        tmp_path / "bandsaw-notes": (old, True),
    }
    for path, (when, _) in made.items():
        path.mkdir()
        os.utime(path, (when, when))
    keep.sweep(str(tmp_path / OWN), str(tmp_path))
    assert {path: path.exists() for path in made} == {
        path: is_left for path, (_, is_left) in made.items()
    }
    keep.sweep(str(tmp_path / "not there"), str(tmp_path / "not there"))


def test_modules_that_are_not_installed_are_named():
    names = ["json", "no_such_module", "no_such.module", "json.no_such", "bandsaw.tasks"]
    assert bootstrap.missing(names) == ["no_such_module", "no_such.module", "json.no_such"]


def test_what_ends_too_early_is_noticed():
    reading, writing = os.pipe()
    bootstrap.write(writing, b"123")
    os.close(writing)
    with pytest.raises(EOFError):
        bootstrap.read_exactly(reading, 4)
    os.close(reading)


# Writes the next byte when the one before was read.
RELAY = """
import fcntl, os, subprocess, sys, termios
python = subprocess.Popen([sys.executable, "-u", "-c", sys.argv[1]], stdout=subprocess.PIPE)
while byte := os.read(python.stdout.fileno(), 1):
    os.write(1, byte)
    while any(fcntl.ioctl(1, termios.FIONREAD, bytes(4))):
        os.sched_yield()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks a pipe how much is in it")
def test_an_answer_may_come_byte_by_byte(tmp_path):
    command = sys.executable, "-c", RELAY, _BOOT
    found = ssh_start.probe(
        ssh_start.Target("here", command, str(tmp_path), "python"), ["os", "nowhere"]
    )
    assert found["missing"] == ["nowhere"]


def test_ctrl_c_in_a_terminal_is_not_for_the_command_that_leads_there(tmp_path):
    said = tmp_path / "said"
    look = "import os, sys; open(sys.argv[1], 'w').write(str(os.getsid(0) == os.getpid()))"
    command = sys.executable, "-c", look, str(said)
    with pytest.raises(RemoteConnectionError):
        ssh_start.probe(ssh_start.Target("here", command, str(tmp_path), "python"), [])
    assert said.read_text() == "True"


def test_a_command_that_has_ended_is_an_error_where_broken_pipes_end_a_program(tmp_path):
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            login = ssh_start.Login(ssh_start.Target("here", ("true",), str(tmp_path), "python"))
            login._process.wait()
            for _ in range(2):
                with pytest.raises(BrokenPipeError):
                    login.write(b"x")
            assert not signal.sigpending() & {signal.SIGPIPE}
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_hub_that_cannot_fork_leaves_nothing_open(monkeypatch):
    def fork():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    hub = types.SimpleNamespace(archive=str, in_use=set())
    before = descriptors()
    with pytest.raises(BlockingIOError):
        hub_fork_servers.ForkServers(hub).start(1, b'{"digest": "0"}')
    assert descriptors() == before
