"""Where archives are kept: by many at once, on a full disk, with things deleted and damaged."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bandsaw._archive import store
from bandsaw._archive.contents import MANIFEST, Content, collect
from bandsaw._archive.zipped import content_of_folder, content_of_zip, write_zip
from bandsaw.distribution import DistributionArchive
from bandsaw.errors import DistributionError

ROOT = Path(__file__).resolve().parent.parent
DAY = 86400


@pytest.fixture
def base(tmp_path):
    (tmp_path / "archives").mkdir(mode=0o700)
    return tmp_path / "archives"


def content_with(**texts):
    """Content that is made at once: everything else of an archive is a hundred files."""
    whole = collect(["textwrap"])
    files = {"textwrap.py": whole.read("textwrap.py")}
    files.update((f"{name}.py", text.encode()) for name, text in texts.items())
    members = {
        name: {"size": len(data), "digest": digest_of(data), "why": "named"}
        for name, data in files.items()
    }
    digest = digest_of(json.dumps(members).encode())
    return Content({**whole.manifest, "members": members, "digest": digest}, files.__getitem__)


def digest_of(data):
    return hashlib.sha256(data).hexdigest()[:32]


@pytest.fixture
def content():
    return content_with(a="x = 1")


def names(base):
    return sorted(os.listdir(base))


def test_what_is_unpacked_and_what_is_zipped_are_the_same(base, content):
    folder, path = store.put_folder(base, content), store.put_zip(base, content)
    assert names(base) == [content.digest, f"{content.digest}.pyz"]
    for back in (content_of_folder(folder), content_of_zip(path)):
        assert back.manifest == content.manifest
        assert {name: back.read(name) for name in back.members} == {
            name: content.read(name) for name in content.members
        }
    with open(base / "again", "wb") as stream:
        write_zip(content_of_folder(folder), stream)
    assert (base / "again").read_bytes() == path.read_bytes()
    assert store.put_folder(base, content_of_zip(path)) == folder


def test_only_the_owner_can_read_it(base, content):
    for path in (store.put_folder(base, content), store.put_zip(base, content)):
        for inner in [path, *path.rglob("*")]:
            assert inner.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["edited", "cut", "missing", "link", "file", "manifest"])
def test_what_is_damaged_is_made_again(base, content, damage):
    folder = store.put_folder(base, content)
    inner = folder / "a.py"
    if damage == "edited":
        inner.write_text("x = 2")
    elif damage == "cut":
        inner.write_text("")
        os.utime(inner, (store.TIME, store.TIME))
    elif damage == "missing":
        inner.unlink()
    elif damage == "manifest":
        (folder / MANIFEST).write_text("{}")
    else:
        shutil.move(folder, base / "aside")
        if damage == "link":
            folder.symlink_to(base / "aside")
        else:
            folder.write_text("")
    assert store.put_folder(base, content) == folder
    assert not folder.is_symlink()
    assert inner.read_text() == "x = 1"
    shutil.rmtree(base / "aside", ignore_errors=True)
    assert names(base) == [content.digest]


def test_who_is_second_takes_what_the_first_one_made(base, content, monkeypatch):
    fill, others = store._fill, []

    def fill_slowly(folder, given):
        fill(folder, given)
        if not others:
            others.append(None)
            others.append(store.put_folder(base, given).stat().st_ino)

    monkeypatch.setattr(store, "_fill", fill_slowly)
    assert store.put_folder(base, content).stat().st_ino == others[1]
    assert names(base) == [content.digest]


def test_a_zip_that_was_cut_short_is_made_again(base, content):
    path = store.put_zip(base, content)
    data = path.read_bytes()
    for damaged in (b"", data[:-30], data[: len(data) // 2]):
        path.write_bytes(damaged)
        assert store.put_zip(base, content).read_bytes() == data
    path.unlink()
    path.mkdir()
    assert store.put_zip(base, content).read_bytes() == data
    assert names(base) == [path.name]


def test_one_that_is_removed_while_it_is_replaced_is_made(base, content, monkeypatch):
    target = base / content.digest
    target.mkdir()
    (target / "damaged").touch()
    rename = os.rename

    def rename_late(source, to):
        try:
            rename(source, to)
        except OSError:
            # Somebody else was at it, too.
            shutil.rmtree(to)
            raise

    monkeypatch.setattr(os, "rename", rename_late)
    assert store.put_folder(base, content) == target
    assert content_of_folder(target).read("a.py") == b"x = 1"
    assert names(base) == [target.name]


def test_many_threads_make_and_remove_the_same_one(base, content):
    failures = []

    def work(number):
        try:
            for _ in range(20):
                folder = store.put_folder(base, content)
                store.put_zip(base, content)
                if number == 0:
                    store.discard(folder)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert content_of_folder(store.put_folder(base, content)).read("a.py") == b"x = 1"
    assert names(base) == [content.digest, f"{content.digest}.pyz"]


def test_many_processes_make_the_same_one(tmp_path):
    code = """
import sys
from bandsaw.distribution import DistributionArchive
archive = DistributionArchive("unused.pyz", "textwrap")
print("ready", flush=True)
sys.stdin.readline()
print(archive.folder)
"""
    environment = {
        **os.environ,
        "BANDSAW_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    folders = {process.communicate(timeout=60)[0] for process in processes}
    assert len(folders) == 1
    assert names(tmp_path / "home" / "archives") == [Path(folders.pop().strip()).name]


class Failing:
    """Fails when a number of members has been read."""

    def __init__(self, content, error, after=3):
        self._content, self._error, self._left = content, error, after
        self.content = Content(content.manifest, self.read)

    def read(self, name):
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._content.read(name)


@pytest.mark.parametrize("put", [store.put_folder, store.put_zip])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), Exception()])
def test_what_cannot_be_finished_leaves_nothing(base, put, error):
    failing = Failing(content_with(a="1", b="2", c="3", d="4"), error)
    with pytest.raises(type(error)):
        put(base, failing.content)
    assert names(base) == []


def test_on_a_full_disk_it_is_elsewhere_or_an_error_that_says_so(tmp_path, monkeypatch):
    full = [tmp_path / "home", tmp_path / "temporary"]
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("BANDSAW_HOME", str(full[0]))
    monkeypatch.setattr("tempfile.tempdir", str(full[1]))
    monkeypatch.setattr("bandsaw._archive.process_folder._folder", None)
    real = store._fill

    def fill(folder, content):
        real(folder, content)
        if any(place in folder.parents for place in full):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_fill", fill)
    archive = DistributionArchive(tmp_path / "a.pyz", "textwrap")
    with pytest.raises(DistributionError, match="No space left") as caught:
        archive.folder  # noqa: B018  # makes it
    assert isinstance(caught.value.__cause__, OSError)
    assert names(full[0] / "archives") == []
    full.pop()
    folder = archive.folder
    assert tmp_path / "temporary" in folder.parents
    assert (folder / "textwrap.py").exists()
    assert names(tmp_path / "home" / "archives") == []
    assert archive.folder == folder


def test_an_archive_that_cannot_be_written_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DistributionError, match="cannot be made"):
        DistributionArchive(tmp_path / "file" / "a.pyz").path  # noqa: B018  # makes it


def aged(path, days):
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_what_was_not_used_for_some_time_goes_and_nothing_else(base):
    contents = [content_with(a=f"x = {number}") for number in range(3)]
    folders = [store.put_folder(base, content) for content in contents]
    paths = [store.put_zip(base, content) for content in contents]
    left_over = base / f".{contents[0].digest[:8]}-abc"
    left_over.mkdir()
    other = base / "notes.txt"
    other.write_text("")
    for path in (folders[0], paths[1], left_over, other):
        aged(path, 31)
    aged(folders[2], 29)
    aged(paths[2], 0.9)
    removed = store.prune(base, store.KEPT_SECONDS)
    assert set(removed) == {folders[0], paths[1]}
    assert not left_over.exists()
    assert other.exists()
    # However short the time that is given: a process may be running from it.
    assert set(store.prune(base, 0)) == {folders[2]}
    assert paths[2].exists()
    assert folders[1].exists()


def test_what_is_used_is_not_old(base, content):
    folder, path = store.put_folder(base, content), store.put_zip(base, content)
    for old in (folder, path):
        aged(old, 40)
    store.put_folder(base, content)
    store.put_zip(base, content)
    assert store.prune(base, store.KEPT_SECONDS) == []


def test_byte_code_is_taken_over_for_files_that_are_the_same(base):
    first = store.put_folder(base, content_with(a="x = 1", b="x = 1"))
    (first / "__pycache__").mkdir()
    for name in ("a.cpython-39.pyc", "a.cpython-313.opt-1.pyc", "b.cpython-39.pyc", "a.tmp"):
        (first / "__pycache__" / name).write_text(name)
    second = store.put_folder(base, content_with(a="x = 1", b="x = 2"))
    found = {path.name: path.read_text() for path in (second / "__pycache__").iterdir()}
    assert found == {name: name for name in ("a.cpython-39.pyc", "a.cpython-313.opt-1.pyc")}


def test_byte_code_is_copied_where_it_cannot_be_linked(base, monkeypatch):
    first = store.put_folder(base, content_with(a="x = 1"))
    (first / "__pycache__").mkdir()
    (first / "__pycache__" / "a.cpython-39.pyc").write_text("code")

    def refused(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    second = store.put_folder(base, content_with(a="x = 1", b=""))
    assert (second / "__pycache__" / "a.cpython-39.pyc").read_text() == "code"


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\5\6" + bytes(18)])
def test_what_is_no_archive_is_told_so(tmp_path, data):
    (tmp_path / "a.pyz").write_bytes(data)
    with pytest.raises(DistributionError, match="is no distribution archive"):
        content_of_zip(tmp_path / "a.pyz")
    with pytest.raises(DistributionError, match="is no distribution archive"):
        content_of_folder(tmp_path)
