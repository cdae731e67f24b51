"""Archives that are damaged where they are kept, and that cannot be written.

What is damaged is made again, or refused with a typed error. What cannot be written is an `OSError`
(a `DistributionError` for who asks for the archive), and leaves nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import zlib
from pathlib import Path

from bandsaw._archive import keep, stores
from bandsaw._archive.arriving import ArrivingArchive
from bandsaw._archive.keep import MANIFEST
from bandsaw._archive.selection import Content, collect, with_digest
from bandsaw._archive.zip_archive import content_of_zip
from bandsaw._workers.ssh import archive_sending
from bandsaw.errors import BandsawError

from .cache_calls import Child
from .cache_failures import ERRORS, Fault, injected
from .figures import Fault as Broken


def content(a=b"x = 1"):
    """Returns content of a few files: that of a real archive is a hundred."""
    whole = collect(["textwrap"])
    files = {"textwrap.py": whole.read("textwrap.py"), "a.py": a, "b/__init__.py": b""}
    files["b/data.bin"] = bytes(range(256)) * 40
    members = {
        name: {"size": len(data), "digest": _digest(data), "why": "named"}
        for name, data in files.items()
    }
    return Content(with_digest({**whole.manifest, "members": members}), files.get)


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:32]


def check_folder(folder, expected):
    """Sees that an archive that is unpacked holds what it should."""
    for name in expected.members:
        assert (folder / name).read_bytes() == expected.read(name), f"{name} is another one"


def _damage_of(dice, data):
    if dice.random() < 0.5:
        return "archives cut", data[: dice.randrange(len(data))]
    changed = bytearray(data)
    changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return "archives flipped", bytes(changed)


def damaged_folders(dice, figures, base, expected, number):
    """Damages files of an archive that is unpacked: it is made again."""
    folder = stores.put_folder(base, expected)
    names = [name for name in expected.members if expected.read(name)]
    for _ in range(number):
        path = folder / dice.choice([*names, MANIFEST])
        if dice.random() < 0.2:
            path.unlink()
            kind = "files of archives removed"
        else:
            kind, data = _damage_of(dice, path.read_bytes())
            path.write_bytes(data)
        figures.inject(kind)
        figures.calls += 1
        check_folder(stores.put_folder(base, expected), expected)
    _check_left(base, {folder.name})


def damaged_zips(dice, figures, base, expected, number):
    """Damages an archive that is a zip: what is read of it is right, or there is a typed error."""
    path = stores.put_zip(base, expected)
    intact = path.read_bytes()
    for _ in range(number):
        kind, data = _damage_of(dice, intact)
        path.write_bytes(data)
        figures.inject(kind)
        figures.calls += 2
        try:
            found = content_of_zip(path)
            if found.manifest == expected.manifest:
                check_folder(stores.put_folder(base, found), expected)
        except BandsawError:
            pass
        except AssertionError as error:
            figures.fault("wrong", f"{kind}: {error}")
        except Exception as error:
            figures.fault("untyped", f"{kind}: {error!r}")
        shutil.rmtree(base / expected.digest, ignore_errors=True)
        if kind == "archives cut":
            assert stores.put_zip(base, expected).read_bytes() == intact
        path.unlink(missing_ok=True)
        stores.put_zip(base, expected)
    _check_left(base, {path.name})


def damaged_shares(dice, figures, base, expected, number):
    """Damages files that a new archive would share, and leaves their times: they are made anew."""
    older = content(b"x = 0")
    names = [name for name in older.members if older.read(name)]
    for _ in range(number):
        folder = stores.put_folder(base, older)
        path = folder / dice.choice([*names, MANIFEST])
        kind, data = _damage_of(dice, path.read_bytes())
        path.write_bytes(data)
        os.utime(path, (keep.TIME, keep.TIME))
        figures.inject(kind)
        figures.calls += 1
        check_folder(stores.put_folder(base, expected), expected)
        _check_left(base, {older.digest, expected.digest})
        _remove(base)


def damaged_arrivals(dice, figures, base, expected, number):
    """Damages what comes from the other end: it is all there, or there is an error and nothing."""
    names = [*expected.members]
    manifest = zlib.compress(expected.manifest_bytes())
    files = b"".join(
        archive_sending._head(name, len(expected.read(name))) + expected.read(name)
        for name in names
    )
    for _ in range(number):
        parts = [manifest, zlib.compress(files)]
        which = dice.randrange(2)
        kind, parts[which] = _damage_of(dice, parts[which])
        if dice.random() < 0.3:
            # The error is not in how it is compressed.
            kind, parts[1] = "archives flipped", zlib.compress(_damage_of(dice, files)[1])
        figures.inject(kind)
        figures.calls += 1
        folder = base / expected.digest
        arriving = ArrivingArchive(str(folder))
        try:
            for part in parts:
                for at in range(0, len(part), 1000):
                    arriving.take(part[at : at + 1000])
                arriving.end_part()
        except (ValueError, OSError, zlib.error, OverflowError):
            _check_left(base, set(), f"{kind} on its way")
        except Exception as error:
            figures.fault("untyped", f"{kind} on its way: {error!r}")
        else:
            check_folder(folder, expected)
        _remove(base)


def failing_calls(dice, figures, base, expected):
    """Lets each system call fail that writing takes: then nothing is left, and later it works."""
    put = dice.choice([stores.put_folder, stores.put_zip])
    error = dice.choice(ERRORS)
    for at in _calls(put, base, expected, dice):
        older = _older(base)
        fault = Fault(at, error)
        try:
            with injected(fault):
                path = put(base, expected)
        except OSError as raised:
            if raised.errno != error:
                raise Broken("untyped", f"{put.__name__}, {fault.names}: {raised!r}") from raised
            _check_left(base, {older.digest}, f"{errno.errorcode[error]} {fault.names}")
        figures.calls += 2
        figures.inject(f"{errno.errorcode[error]} from a system call", len(fault.names))
        path = put(base, expected)
        if put is stores.put_folder:
            check_folder(path, expected)
        check_folder(base / older.digest, older)
        _remove(base)


def _older(base):
    """Puts an archive there that shares most of its files with the one to be written."""
    older = content(b"x = 0")
    stores.put_folder(base, older)
    return older


def kills(dice, figures, base, expected):
    """Kills who writes an archive, at system calls: the next one makes it, or finds it whole."""
    put = dice.choice([stores.put_folder, stores.put_zip])
    for at in _calls(put, base, expected, dice):
        older = _older(base)
        child = Child(_killed, put, base, expected, at)
        child.close()
        assert child.status == -signal.SIGKILL, child.status
        figures.inject("SIGKILL at a system call")
        figures.calls += 1
        path = put(base, expected)
        if put is stores.put_folder:
            check_folder(path, expected)
        else:
            assert content_of_zip(path).read("a.py") == b"x = 1"
        check_folder(base / older.digest, older)
        _remove(base)


def _killed(put, base, expected, at):
    with injected(Fault(at, -signal.SIGKILL)):
        put(base, expected)


def _calls(put, base, expected, dice, number=12):
    """Returns some of the system calls that writing takes, by their numbers."""
    _older(base)
    fault = Fault(0, errno.EIO)
    with injected(fault):
        put(base, expected)
    _remove(base)
    return dice.sample(range(1, fault.count + 1), min(number, fault.count))


def _remove(base):
    shutil.rmtree(base)
    base.mkdir(mode=0o700)


def _check_left(base, expected, where=""):
    left = set(os.listdir(base)) - expected
    if left:
        raise Broken("left", f"{where}: {sorted(left)}")


def run(dice: random.Random, figures, directory):
    """Damages kept archives, and fails and kills the writing of others."""
    expected = content()
    for number, part in enumerate((
        lambda base: damaged_folders(dice, figures, base, expected, 20),
        lambda base: damaged_zips(dice, figures, base, expected, 40),
        lambda base: damaged_shares(dice, figures, base, expected, 20),
        lambda base: damaged_arrivals(dice, figures, base, expected, 60),
        lambda base: failing_calls(dice, figures, base, expected),
        lambda base: kills(dice, figures, base, expected),
    )):  # fmt: skip
        base = Path(directory, str(number))
        base.mkdir(mode=0o700)
        part(base)
