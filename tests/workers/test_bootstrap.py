import json
import os
import re
import time
import zlib

import pytest

import bandsaw
from bandsaw.distribution import get_distribution_archive
from bandsaw.workers import bootstrap
from bandsaw.workers.login import sent_archive

OWN = f"bandsaw-{os.geteuid()}"


@pytest.fixture(scope="module")
def sent():
    """An archive as it is sent: its digest, the names and sizes of the files, and the bytes."""
    archive = get_distribution_archive(bandsaw.Configuration())
    head, data = sent_archive(archive, bootstrap.tag())
    content = json.loads(head)
    assert content["size"] == len(data)
    return archive.digest, content["files"], data


def test_the_folder_for_what_is_kept_is_closed_to_others(tmp_path):
    root, is_temporary = bootstrap.kept_root(str(tmp_path / "not" / "there"))
    assert (root, is_temporary) == (str(tmp_path / "not" / "there" / OWN), False)
    assert os.stat(root).st_mode & 0o077 == 0
    assert bootstrap.kept_root(str(tmp_path / "not" / "there")) == (root, False)


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
    root, is_temporary = bootstrap.kept_root(str(tmp_path))
    assert is_temporary
    assert re.fullmatch(rf"{OWN}-\w+", os.path.basename(root))
    assert os.stat(root).st_mode & 0o077 == 0
    assert list(elsewhere.iterdir()) == []
    bootstrap.remove(root)
    assert not os.path.exists(root)


@pytest.mark.parametrize("damage", ["none", "cut", "gone", "no folder", "manifest"])
def test_an_archive_is_put_where_it_is_not_whole(tmp_path, sent, damage):
    digest, files, data = sent
    folder = tmp_path / digest
    assert not bootstrap.is_whole(str(folder))
    bootstrap.put(str(folder), files, data)
    assert bootstrap.is_whole(str(folder))
    if damage == "cut":
        (folder / "bandsaw" / "tasks.py").write_text("")
    elif damage == "gone":
        (folder / "bandsaw" / "tasks.py").unlink()
    elif damage == "no folder":
        bootstrap.remove(str(folder))
        folder.write_text("")
    elif damage == "manifest":
        (folder / bootstrap.MANIFEST).write_text('{"digest": "0", "members": {}}')
    assert bootstrap.is_whole(str(folder)) is (damage == "none")
    bootstrap.put(str(folder), files, data)
    assert bootstrap.is_whole(str(folder))
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_what_did_not_arrive_whole_is_not_kept(tmp_path, sent):
    digest, files, data = sent
    content = bytearray(zlib.decompress(data))
    content[len(content) // 3] ^= 1
    with pytest.raises(ValueError, match="did not arrive whole"):
        bootstrap.put(str(tmp_path / digest), files, zlib.compress(content))
    with pytest.raises(ValueError, match="another archive"):
        bootstrap.put(str(tmp_path / ("0" * 32)), files, data)
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_old_and_ours_is_swept(tmp_path):
    archives = tmp_path / OWN / "archives"
    archives.mkdir(parents=True)
    old, now = time.time() - bootstrap.KEPT_SECONDS - 60, time.time()
    unfinished = now - bootstrap.UNFINISHED_SECONDS - 60
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
    bootstrap.sweep(str(tmp_path / OWN), str(tmp_path))
    assert {path: path.exists() for path in made} == {
        path: is_left for path, (_, is_left) in made.items()
    }
    bootstrap.sweep(str(tmp_path / "not there"), str(tmp_path / "not there"))


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
