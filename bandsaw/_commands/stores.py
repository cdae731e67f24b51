"""Shared stores in the commands for caches: each is looked at in a local picture of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional

from .._cache import compare, entry, record, shared_files
from .._cache.shared_listing import Listing
from ..advices.cache import CachingAdvice
from ..execution import Execution
from .console import say

# The stores, by the folders of their pictures.
_pictures: dict[str, Listing] = {}


def is_url(directory: str) -> bool:
    return "://" in directory


def listing(url: str) -> Listing:
    return Listing(shared_files.resolved(shared_files.checked(url), os.path.abspath))


@contextlib.contextmanager
def pictured(directories: Sequence[str]) -> Iterator[list[str]]:
    """Has stores among directories be replaced by the folders of their pictures."""
    if not any(map(is_url, directories)):
        yield list(directories)
        return
    with tempfile.TemporaryDirectory(prefix="bandsaw-stores-") as parent:
        shown = []
        for number, directory in enumerate(directories):
            if is_url(directory):
                folder = os.path.join(parent, str(number))
                os.mkdir(folder, 0o700)
                _pictures[folder] = listing(directory)
                for _ in _pictures[folder].pictured(folder):
                    pass
                directory = folder
            shown.append(directory)
        try:
            yield shown
        finally:
            _pictures.clear()


def _in_picture(path: str) -> tuple[Optional[Listing], str]:
    """Returns the store that a path stands for, and its key there."""
    for folder, store in _pictures.items():
        if f"{path}{os.sep}".startswith(folder + os.sep):
            return store, path[len(folder) + 1 :].replace(os.sep, "/")
    return None, ""


def told(path: str) -> str:
    """Returns a path, or the URL that it stands for."""
    store, key = _in_picture(path)
    return path if store is None else f"{store.url}/{key}".rstrip("/")


def problem_of(path: str) -> Optional[str]:
    store, key = _in_picture(path)
    if store is None:
        return entry.problem_of(*os.path.split(path))
    with tempfile.TemporaryDirectory(prefix="bandsaw-entry-") as folder:
        return store.problem_of(key, folder)


def remove(path: str) -> None:
    store, key = _in_picture(path)
    if store is not None:
        store.remove(key)
    os.unlink(path)


def explain_call(folder: str, task: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Says whether a store has an entry for a call of a task, and what differs from the nearest."""
    the_task = task.bandsaw_task  # type: ignore[attr-defined]
    execution = Execution(None, args, kwargs).of_task(the_task)
    place, name = CachingAdvice(folder).place_of(the_task, execution)
    path = os.path.join(place, name)
    if os.path.exists(path):
        say(f"{the_task}: the store has an entry, {told(path)}.")
        return
    wanted = record.Record(
        str(the_task), 0.0, None, record.arguments_of(execution), record.parts_of(the_task)
    )
    nearest = compare.nearest_entry(folder, wanted, path)
    if nearest is None:
        say(f"{the_task}: {told(folder)} has no entry of this task.")
        return
    say(f"{the_task}: there is no entry for this code and these arguments.")
    say(f"The nearest one is {told(nearest.path)}. It differs in this:")
    for line in compare.lines_of(nearest.differences):
        say(line)
