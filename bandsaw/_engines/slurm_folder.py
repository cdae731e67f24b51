"""The folder that the machines of Slurm share: archives, contents of files, and buffers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable

from .._arguments import checked_path
from .._system.directories import Anchor
from .._system.files import make_private, whole_file
from .._workers.engine_bulk import Stored

# Contents of files stay in the folder so long after their last use.
_FILE_SECONDS = 30 * 86400.0


def checked_folder(folder: Any) -> Path:
    """Returns a folder wherever the program goes afterwards."""
    return Path(Anchor().of(Path(checked_path("folder", folder, " of a SlurmExecutor"))))


class _Holder:
    """What lives as long as a file is needed."""


class SharedFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def file(self, key: str, pieces: Callable[[], Iterable[bytes]]) -> str:
        """Has the contents of a file be in the folder. What nobody has used for long is removed."""
        folder = self.path / "files"
        path = folder / key
        with self._lock:
            try:
                os.utime(path)
            except FileNotFoundError:
                make_private(folder)
                left = [*self.path.glob("back-*"), *self.path.glob("buffer-*")]
                for other in (*folder.iterdir(), *left):
                    with contextlib.suppress(OSError):
                        if time.time() - other.stat().st_mtime > _FILE_SECONDS:
                            other.unlink()
                with whole_file(path) as file:
                    for piece in pieces():
                        file.write(piece)
        return str(path)

    def stored(self, data: bytes) -> Stored:
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        path = self.path / f"buffer-{os.urandom(8).hex()}"
        holder = _Holder()
        weakref.finalize(holder, path.unlink, missing_ok=True)
        path.touch(0o600)
        path.write_bytes(data)
        return Stored(str(path), holder)

    def archive(self, digest: str, parts: Callable[[], Sequence[bytes]]) -> str:
        folder = self.path / "archives"
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        folder.mkdir(0o700, exist_ok=True)
        path = folder / digest
        if not path.exists():
            manifest, files = parts()
            temporary = folder / f".{digest}-{os.urandom(8).hex()}"
            temporary.write_bytes(len(manifest).to_bytes(8, "big") + manifest + files)
            temporary.replace(path)
        return str(path)
