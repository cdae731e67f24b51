"""Who may read and write what the cache makes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from .cache_calls import Cache, Child, Task, records
from .figures import Figures

OPTIONS = ({}, {"max_bytes": 10**6}, {"mmap": True})
_NOBODY = 65534


def run(dice, figures, directory):
    """Looks at both, with the options in some order."""
    options = dice.sample(OPTIONS, len(OPTIONS))
    figures.add(read_only(directory, options))
    figures.add(Child(_owner_only, directory).result())


def read_only(directory, options):
    """A directory that cannot be written costs a warning for each call, and is served from."""
    # Whoever is not root may not get to the given one.
    place = tempfile.mkdtemp(dir="/tmp" if os.geteuid() == 0 else directory)
    try:
        if os.geteuid() == 0:
            os.chown(place, _NOBODY, _NOBODY)
        return Child(_read_only, os.path.join(place, "cache"), directory, options).result()
    finally:
        for folder, names, _ in os.walk(place):
            for name in names:
                os.chmod(os.path.join(folder, name), 0o700)
        shutil.rmtree(place)


def _read_only(directory, warm, several):
    # Where the modules are may be out of reach, too.
    for options in several:
        Cache(warm, **options).call(Task(lambda _: b"value"))
    if os.geteuid() == 0:
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    figures = Figures()
    for options in several:
        cache = Cache(os.path.join(directory, str(len(options)), *options), **options)
        cache.call(Task(lambda _: b"value"), "there")
        os.chmod(os.path.join(cache.directory, "task"), 0o500)
        os.chmod(cache.directory, 0o500)
        with records() as warnings:
            task = Task(lambda _: b"other")
            assert cache.call(task, "there") == b"value"
            assert not warnings, warnings
            assert not task.executed
            for task_id in ("task", "another"):
                task = Task(lambda _: b"other", task_id)
                assert cache.call(task, "not there") == b"other"
                assert cache.call(task, "not there") == b"other"
                assert task.executed == 2
        assert len(warnings) == 4, warnings
        figures.inject("writes to closed folders", 4)
        figures.calls += 5
    return figures


def _owner_only(directory):
    """All that the cache makes is for its owner only, whatever the mask is."""
    os.umask(0)
    seen = {}

    def look(value=None):
        for folder, folders, names in os.walk(os.path.join(directory, "made")):
            for name in (*folders, *names):
                path = os.path.join(folder, name)
                seen[os.path.basename(path)] = stat.S_IMODE(os.lstat(path).st_mode)
        return value

    cache = Cache(os.path.join(directory, "made", "cache"), max_bytes=10**6, max_age=1000)
    for _ in range(2):
        cache.call(Task(look))
        cache.call(Task(look, cache={"refresh": True}))
    look()
    files = {name: mode for name, mode in seen.items() if name not in ("cache", "task")}
    assert {".bounds", ".execution.tmp", "execution"} <= set(files), seen
    assert set(files.values()) == {0o600}, seen
    assert seen["cache"] == seen["task"] == 0o700, seen
    return Figures(4, {"open masks": 1})
