"""What a shared store holds: for the commands, because every look at it is a listing.

A store is looked at in a private local folder, the *picture*, in which each entry is a file of its
size that has the header and the record of it, and nothing else unless it is to be verified.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Optional

from ..errors import InvalidValueError
from . import bounds, entry, owned_files
from .shared_files import SUFFIX, StoreFiles

# Most records and their headers are shorter.
_HEAD = 1 << 14
_MOST_HEAD = 1 << 26
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
# What a writer that was killed left behind.
_SECONDS_ABANDONED = 86400.0


class Listing:
    """The files of a store."""

    def __init__(self, url: str) -> None:
        self.url = url  # where the store is
        self._files = StoreFiles(url)

    def run(self, action: Any) -> Any:
        """Calls an action with a file system, and the path of the store in it."""
        try:
            return self._files.run(action)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise InvalidValueError(
                f"The store {self.url} cannot be looked at: {type(error).__name__}: {error}"
            ) from error

    def found(self) -> list[tuple[str, bounds.CacheFile]]:
        """Lists the files `folder/name` of the store, with their keys. Others are not ours."""

        def find(system: Any, root: str) -> list[tuple[str, bounds.CacheFile]]:
            found = []
            # Paths begin as that of the store does, but for a slash on some file systems.
            start = len(root.strip("/")) + 1 if root.strip("/") else 0
            for path, status in system.find(root, detail=True).items():
                key = path.lstrip("/")[start:]
                names = key.split("/")
                if len(names) == 2 and not names[0].startswith(".") and _is_name(*names):
                    written = _written(status)
                    size = int(status.get("size") or 0)
                    found.append((key, bounds.CacheFile(int(written * 1e9), written, size, path)))
            return found

        try:
            return list(self.run(find))
        except FileNotFoundError:
            return []

    def pictured(self, folder: str) -> Iterator[tuple[str, str]]:
        """Makes a picture of the store. Yields the keys of entries, and their files in it."""
        for key, found in self.found():
            if os.path.basename(key).startswith("."):
                continue
            target = os.path.join(folder, *key.split("/"))
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            try:
                head = self._head(key, found.size)
            except FileNotFoundError:
                continue
            with open(target, "xb") as file:
                file.write(head)
                file.truncate(found.size)
            os.chmod(target, 0o600)
            os.utime(target, (found.written, found.written))
            yield key, target

    def _head(self, key: str, size: int) -> bytes:
        head = self._read(key, min(size, _HEAD))
        needed = min(size, entry.length_to_payload(head), _MOST_HEAD)
        return head if needed <= len(head) else self._read(key, needed)

    def _read(self, key: str, end: int) -> bytes:
        def read(system: Any, root: str) -> bytes:
            # Not `cat_file`, of which some drivers return another range than that.
            with system.open(f"{root}/{key}", "rb", block_size=end) as file:
                return bytes(file.read(end))

        data: bytes = self.run(read) if end else b""
        return data

    def problem_of(self, key: str, folder: str) -> Optional[str]:
        """Reads an entry as a whole. Returns what is wrong with it, `None` if it is intact."""
        path = os.path.join(folder, "whole")
        try:
            self.run(lambda system, root: system.get_file(f"{root}/{key}", path))
            os.chmod(path, 0o600)
            entry.read(*key.split("/"), mapped=True, path=path)
        except (OSError, owned_files.DamagedEntryError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            return str(error)
        finally:
            if os.path.lexists(path):
                os.unlink(path)
        return None

    def _is_entry(self, key: str) -> bool:
        """Says whether a file is there that begins as entries do."""
        try:
            return self._read(key, len(entry.MAGIC)).startswith(entry.MAGIC[:-1])
        except FileNotFoundError:
            return False  # somebody else has removed it

    def remove(self, key: str) -> None:
        try:
            self.run(lambda system, root: system.rm_file(f"{root}/{key}"))
        except FileNotFoundError:
            pass

    def prune(
        self, max_bytes: Optional[int] = None, max_age: Optional[float] = None
    ) -> bounds.Removed:
        """Removes what is too much, the oldest first, and leftovers of writers after a day."""
        now = time.time()
        found = sorted(self.found(), key=lambda pair: pair[1])
        total = sum(one.size for key, one in found if not _is_temporary(key))
        entries = abandoned = size = 0
        for key, one in found:
            if _is_temporary(key):
                if one.written < now - _SECONDS_ABANDONED:
                    self.remove(key)
                    abandoned += 1
                    size += one.size
                continue
            too_old = max_age is not None and one.written < now - max_age
            too_much = max_bytes is not None and total > max_bytes
            if not too_old and not too_much:
                continue
            total -= one.size
            if self._is_entry(key):
                self.remove(key)
                entries += 1
                size += one.size
        return bounds.Removed(entries, abandoned, size, ())


def _is_temporary(key: str) -> bool:
    name = key.rpartition("/")[2]
    return name.startswith(".") and name.endswith(SUFFIX)


def _is_name(*names: str) -> bool:
    return all(name not in ("", ".", "..") and not set(name) & set("\\\0") for name in names)


def _written(status: Any) -> float:
    for name in _TIMES:
        value = status.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    # Without a time an entry is taken for a new one.
    return time.time()
