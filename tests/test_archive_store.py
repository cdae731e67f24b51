"""Where archives are kept: by many at once, on a full disk, with things deleted and damaged."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bandsaw._archive import keep, stores, unpack
from bandsaw._archive.keep import MANIFEST
from bandsaw._archive.selection import Content, collect, with_digest
from bandsaw._archive.zip_archive import content_of_folder, content_of_zip, write_zip
from bandsaw._system.home import kept_folder
from bandsaw.distribution import DistributionArchive
from bandsaw.errors import DistributionError, KeptFolderError

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
    return Content(with_digest({**whole.manifest, "members": members}), files.__getitem__)


def digest_of(data):
    return hashlib.sha256(data).hexdigest()[:32]


@pytest.fixture
def content():
    return content_with(a="x = 1")


def names(base):
    return sorted(os.listdir(base))


def prune(base, *arguments):
    return set(map(Path, keep.prune(str(base), *arguments)))


def test_what_is_unpacked_and_what_is_zipped_are_the_same(base, content):
    folder, path = stores.put_folder(base, content), stores.put_zip(base, content)
    assert names(base) == [content.digest, f"{content.digest}.pyz"]
    for back in (content_of_folder(folder), content_of_zip(path)):
        assert back.manifest == content.manifest
        assert {name: back.read(name) for name in back.members} == {
            name: content.read(name) for name in content.members
        }
    with open(base / "again", "wb") as stream:
        write_zip(content_of_folder(folder), stream)
    assert (base / "again").read_bytes() == path.read_bytes()
    assert stores.put_folder(base, content_of_zip(path)) == folder


def test_only_the_owner_can_read_it(base, content):
    for path in (stores.put_folder(base, content), stores.put_zip(base, content)):
        for inner in [path, *path.rglob("*")]:
            assert inner.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["edited", "cut", "missing", "link", "file", "manifest"])
def test_what_is_damaged_is_made_again(base, content, damage):
    folder = stores.put_folder(base, content)
    inner = folder / "a.py"
    if damage == "edited":
        inner.write_text("x = 2")
    elif damage == "cut":
        inner.write_text("")
        os.utime(inner, (keep.TIME, keep.TIME))
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
    assert stores.put_folder(base, content) == folder
    assert not folder.is_symlink()
    assert inner.read_text() == "x = 1"
    shutil.rmtree(base / "aside", ignore_errors=True)
    assert names(base) == [content.digest]


def test_who_is_second_takes_what_the_first_one_made(base, content, monkeypatch):
    finish, others = unpack.Unpacking.finish, []

    def finish_late(unpacking):
        if not others:
            others.append(None)
            others.append(stores.put_folder(base, content).stat().st_ino)
        finish(unpacking)

    monkeypatch.setattr(unpack.Unpacking, "finish", finish_late)
    assert stores.put_folder(base, content).stat().st_ino == others[1]
    assert names(base) == [content.digest]


def test_a_zip_that_was_cut_short_is_made_again(base, content):
    path = stores.put_zip(base, content)
    data = path.read_bytes()
    for damaged in (b"", data[:-30], data[: len(data) // 2]):
        path.write_bytes(damaged)
        assert stores.put_zip(base, content).read_bytes() == data
    path.unlink()
    path.mkdir()
    assert stores.put_zip(base, content).read_bytes() == data
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
    assert stores.put_folder(base, content) == target
    assert content_of_folder(target).read("a.py") == b"x = 1"
    assert names(base) == [target.name]


def test_many_threads_make_and_remove_the_same_one(base, content):
    failures = []

    def work(number):
        try:
            for _ in range(20):
                folder = stores.put_folder(base, content)
                stores.put_zip(base, content)
                if number == 0:
                    keep.discard(str(folder))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert content_of_folder(stores.put_folder(base, content)).read("a.py") == b"x = 1"
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
    folders = {process.communicate(timeout=300)[0] for process in processes}
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


@pytest.mark.parametrize("put", [stores.put_folder, stores.put_zip])
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
    real = unpack.Unpacking.finish

    def finish(unpacking):
        if any(place in Path(unpacking._temporary).parents for place in full):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(unpacking)

    monkeypatch.setattr(unpack.Unpacking, "finish", finish)
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
    folders = [stores.put_folder(base, content) for content in contents]
    paths = [stores.put_zip(base, content) for content in contents]
    left_over = base / f".{contents[0].digest[:8]}-abc"
    left_over.mkdir()
    other = base / "notes.txt"
    other.write_text("")
    for path in (folders[0], paths[1], left_over, other):
        aged(path, 31)
    aged(folders[2], 29)
    aged(paths[2], 0.9)
    removed = prune(base, keep.KEPT_SECONDS)
    assert removed == {folders[0], paths[1]}
    assert not left_over.exists()
    assert other.exists()
    # However short the time that is given: a process may be running from it.
    assert prune(base, 0) == {folders[2]}
    assert paths[2].exists()
    assert folders[1].exists()


def test_what_is_used_is_not_old(base, content):
    folder, path = stores.put_folder(base, content), stores.put_zip(base, content)
    for old in (folder, path):
        aged(old, 40)
    stores.put_folder(base, content)
    stores.put_zip(base, content)
    assert prune(base, keep.KEPT_SECONDS) == set()


def test_byte_code_is_taken_over_for_files_that_are_the_same(base):
    first = stores.put_folder(base, content_with(a="x = 1", b="x = 1"))
    (first / "__pycache__").mkdir()
    for name in ("a.cpython-39.pyc", "a.cpython-313.opt-1.pyc", "b.cpython-39.pyc", "a.tmp"):
        (first / "__pycache__" / name).write_text(name)
    second = stores.put_folder(base, content_with(a="x = 1", b="x = 2"))
    found = {path.name: path.read_text() for path in (second / "__pycache__").iterdir()}
    assert found == {name: name for name in ("a.cpython-39.pyc", "a.cpython-313.opt-1.pyc")}


def test_byte_code_is_copied_where_it_cannot_be_linked(base, monkeypatch):
    first = stores.put_folder(base, content_with(a="x = 1"))
    (first / "__pycache__").mkdir()
    (first / "__pycache__" / "a.cpython-39.pyc").write_text("code")

    def refused(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    second = stores.put_folder(base, content_with(a="x = 1", b=""))
    assert (second / "__pycache__" / "a.cpython-39.pyc").read_text() == "code"


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\5\6" + bytes(18)])
def test_what_is_no_archive_is_told_so(tmp_path, data):
    (tmp_path / "a.pyz").write_bytes(data)
    with pytest.raises(DistributionError, match="is no distribution archive"):
        content_of_zip(tmp_path / "a.pyz")
    with pytest.raises(DistributionError, match="is no distribution archive"):
        content_of_folder(tmp_path)


def inodes(folder):
    return {path.name: path.stat().st_ino for path in folder.iterdir() if path.is_file()}


def test_what_another_archive_has_is_shared(base):
    first = stores.put_folder(base, content_with(a="x = 1", b="y"))
    second = stores.put_folder(base, content_with(a="x = 2", b="y", copy="y"))
    known, found = inodes(first), inodes(second)
    assert found["b.py"] == found["copy.py"] == known["b.py"]
    assert found["textwrap.py"] == known["textwrap.py"]
    assert found["a.py"] != known["a.py"]
    keep.discard(str(first))
    assert unpack.is_whole(str(second))


@pytest.mark.parametrize("damage", ["in place", "same time", "mode"])
def test_a_damaged_file_is_never_shared(base, damage):
    first = stores.put_folder(base, content_with(a="x = 1"))
    path = first / "a.py"
    if damage == "mode":
        path.chmod(0o777)
    else:
        path.write_text("x = 2")
    if damage == "same time":
        os.utime(path, (keep.TIME, keep.TIME))
    second = stores.put_folder(base, content_with(a="x = 1", b=""))
    assert (second / "a.py").read_text() == "x = 1"
    assert inodes(second)["a.py"] != inodes(first)["a.py"]
    assert inodes(second)["textwrap.py"] == inodes(first)["textwrap.py"]


def test_where_files_cannot_be_linked_they_are_copied(base, monkeypatch):
    first = stores.put_folder(base, content_with(a="x = 1"))

    def refused(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    content = content_with(a="x = 1", b="")
    content.read = {"b.py": b""}.__getitem__
    second = stores.put_folder(base, content)
    assert (second / "a.py").read_text() == "x = 1"
    assert inodes(second)["a.py"] != inodes(first)["a.py"]
    assert unpack.is_whole(str(second))


def test_many_edits_cost_their_own_size(base):
    size = 200_000
    for number in range(40):
        stores.put_folder(base, content_with(large="#" * size, a=f"x = {number}"))
    total = sum(keep.sizes_of_new(str(base), set()))
    assert total < size + 40 * 2000 + 100_000
    assert sum(path.stat().st_size for path in base.rglob("large.py")) == 40 * size


def test_what_is_kept_has_a_bound_in_bytes(base):
    texts = [str(number) * 100_000 for number in range(4)]
    shared = "#" * 100_000
    folders = [stores.put_folder(base, content_with(a=text, shared=shared)) for text in texts]
    for days, folder in zip((5, 4, 3, 0.5), folders):
        aged(folder, days)
    everything = sum(keep.sizes_of_new(str(base), set()))
    assert prune(base, keep.KEPT_SECONDS, everything) == set()
    # Without the first two there is room, as what they share is not counted again.
    assert prune(base, keep.KEPT_SECONDS, everything - 150_000) == set(folders[:2])
    assert prune(base, keep.KEPT_SECONDS, 0) == {folders[2]}
    assert unpack.is_whole(str(folders[3]))


def test_zips_that_are_not_needed_any_more_do_not_wait_for_a_day(base):
    paths = [stores.put_zip(base, content_with(a=f"x = {number}")) for number in range(3)]
    aged(paths[0], 0.2)
    aged(paths[1], 0.02)
    assert prune(base, keep.KEPT_SECONDS, 10) == {paths[0]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no locks that a process holds")
def test_what_a_process_holds_is_not_removed(base, content):
    folder = stores.put_folder(base, content)
    aged(folder, 40)
    code = (
        "import sys; from bandsaw._archive import keep\n"
        f"keep.hold({str(folder)!r}); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.readline()
        assert prune(base, keep.KEPT_SECONDS, 0) == set()
        process.stdin.close()
    assert prune(base, keep.KEPT_SECONDS, 0) == {folder}


def test_what_may_be_executed_is_so_in_any_form(base):
    content = content_with(a="x = 1", b="x = 1")
    content.members["a.py"]["executable"] = True
    content = Content(with_digest(content.manifest), content.read)
    zipped = content_of_zip(stores.put_zip(base, content))
    for given in (content, zipped):
        folder = stores.put_folder(base, given)
        assert os.access(folder / "a.py", os.X_OK)
        assert not (folder / "b.py").stat().st_mode & 0o100
        keep.discard(str(folder))


@pytest.mark.skipif(os.name == "nt", reason="Windows says where programs keep things")
def test_a_user_without_a_home_folder_gets_none_named_tilde(tmp_path, monkeypatch):
    for name in ("BANDSAW_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # What is found where nobody knows the user, as in containers with any user id.
    monkeypatch.setenv("HOME", "~")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeptFolderError, match="no home folder. Set BANDSAW_HOME"):
        kept_folder("archives")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no owners to compare")
@pytest.mark.parametrize("plant", ["group", "others", "owner", "link", "file"])
@pytest.mark.parametrize("where", [".", "archives"])
def test_a_home_that_others_can_write_to_is_not_used(tmp_path, monkeypatch, plant, where):
    home = tmp_path / "home"
    monkeypatch.setenv("BANDSAW_HOME", str(home))
    planted = kept_folder("archives") if where == "archives" else kept_folder("archives").parent
    if plant == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(planted, 65534, 65534)
    elif plant in ("link", "file"):
        shutil.rmtree(planted)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        planted.symlink_to(elsewhere) if plant == "link" else planted.write_text("")
    else:
        planted.chmod(0o720 if plant == "group" else 0o702)
    with pytest.raises(KeptFolderError, match="cannot be used: .* Set BANDSAW_HOME"):
        kept_folder("archives")
