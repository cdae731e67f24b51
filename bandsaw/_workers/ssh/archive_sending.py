"""An archive on its way to another machine, see `_archive.arriving`."""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Callable, Optional

from ..._archive.arriving import named_by
from ..._archive.keep import MANIFEST, TIME, tag
from ..._system import work
from ..._system.buffers import rechunked
from ...distribution import DistributionArchive
from ...errors import DistributionError

_PIECE = 1 << 18
# After the magic number of byte code: flags, and time and size of the source.
_HEADER = struct.Struct("<III")


def send(
    archive: DistributionArchive,
    their_tag: str,
    write: Callable[[bytes], None],
    ask: Callable[[], bytes],
    host: str,
) -> None:
    folder = archive.folder
    manifest = (folder / MANIFEST).read_bytes()
    for piece in rechunked(_compressed([manifest]), _PIECE):
        write(piece)
    lacking = named_by(ask(), json.loads(manifest)["members"])
    with work.told(f"sending code to {host}") as sent:
        files = _files(folder, lacking, their_tag == tag())
        for piece in rechunked(_compressed(files), _PIECE):
            write(piece)
            sent.done += len(piece)
        ask()


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    deflate = zlib.compressobj(1)
    yield from map(deflate.compress, pieces)
    yield deflate.flush()


def _files(folder: Path, names: list[str], with_byte_code: bool) -> Iterator[bytes]:
    for name in names:
        try:
            with open(folder / name, "rb") as file:
                yield _head(name, os.fstat(file.fileno()).st_size)
                yield from iter(lambda: file.read(_PIECE), b"")  # used up at once
        except OSError as error:
            raise DistributionError(f"The archive {str(folder)!r} is damaged: {error}") from error
        if with_byte_code and name.endswith(".py"):
            inner, _, last = name.rpartition("/")
            kept = f"{inner}/__pycache__/{last[:-3]}.{sys.implementation.cache_tag}.pyc".lstrip("/")
            code = _byte_code(folder, kept, name)
            if code is not None:
                yield _head(kept, len(code))
                yield code


def _head(name: str, size: int) -> bytes:
    encoded = name.encode()
    return len(encoded).to_bytes(2, "big") + size.to_bytes(8, "big") + encoded


def _byte_code(folder: Path, kept: str, name: str) -> Optional[bytes]:
    """Finds byte code for a module, as it is valid in an archive that was unpacked."""
    try:
        return (folder / kept).read_bytes()
    except OSError:
        pass
    # What Python keeps of bandsaw itself, where it is installed.
    source = os.path.join(os.path.dirname(__file__), "..", "..", "..", *name.split("/"))
    try:
        with open(cache_from_source(os.path.abspath(source), optimization=""), "rb") as file:
            code = file.read()
        with open(source, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
            is_same = data == (folder / name).read_bytes()
    except (OSError, NotImplementedError):
        return None
    magic, valid_for = code[:4], (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size)
    if not is_same or code[4:16] != _HEADER.pack(*valid_for):
        return None
    return magic + _HEADER.pack(0, TIME, len(data)) + code[16:]
