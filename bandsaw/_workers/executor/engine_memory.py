"""Large data between processes of one machine, past the engine and its worker.

caller: file ── its path ──► worker ── the file ──► process of the call
engine's store ── in the memory of the worker ── the file behind it, and where ──► process
process ── file ──► worker ── the file ──► `engine_bulk` of the caller
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
from typing import Any

_PEER = struct.Struct("3i")


class Given:
    """An open file, which is closed when nobody refers to this any more."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def view(self) -> memoryview:
        return memoryview(mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ))

    def __del__(self) -> None:
        os.close(self.descriptor)


def moved_by(engine: str) -> Any:
    """Returns what makes of a buffer something that an engine moves uncopied, where it can."""
    return {"dask": memoryview, "ray": pickle.PickleBuffer}.get(engine, bytes)


def view(piece: Any) -> memoryview:
    """Returns the contents of a piece, which may lie in a file."""
    if isinstance(piece, str):
        return Given(os.open(piece, os.O_RDONLY)).view()
    return memoryview(piece)


def is_of_this_user(end: socket.socket) -> bool:
    """Whether the process at the other end of a socket is of the user of this one."""
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(credentials)[1] == os.geteuid())


def hand_over(file: int, door: str, call: str) -> bool:
    """Gives the caller a file with what a call returns; returns whether that could be done."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.setblocking(False)
            end.connect(f"\0{door}")
            if not is_of_this_user(end):
                return False
            socket.send_fds(end, [call.encode("ascii")], [file])
    except OSError:
        return False
    return True


def shared_at(views: Any) -> Any:
    """Finds the file behind memory that an engine's store shares with this process.

    Returns the path of the file, and where in it the views lie one after another; `None` if they do
    not, or the file cannot be opened.
    """
    try:
        starts = [_address(one) for one in views]
        ends = [start + len(one) for start, one in zip(starts, views)]
        if starts[1:] != ends[:-1]:
            return None
        with open("/proc/self/maps") as maps:
            for line in maps:
                area, mode, offset, device, inode, *_ = line.split()
                begin, _, end = area.partition("-")
                if int(begin, 16) <= starts[0] and ends[-1] <= int(end, 16):
                    path = _path_of(device, int(inode)) if mode[3] == "s" else None
                    place = starts[0] - int(begin, 16) + int(offset, 16)
                    return None if path is None else (path, place)
    except (ImportError, OSError, ValueError):
        pass
    return None


def _address(one: memoryview) -> int:
    import ctypes

    # A `Py_buffer`, which begins with the address.
    found = (ctypes.c_void_p * 16)()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(one), found, 0)
    ctypes.pythonapi.PyBuffer_Release(found)
    return found[0] or 0


_paths: dict[tuple[str, int], str] = {}


def _path_of(device: str, inode: int) -> Any:
    """Finds a file without a name among those that this process or its parent has open."""
    known = _paths.get((device, inode))
    # The number of the descriptor may be that of another file since.
    if known is not None and _is_at(known, device, inode):
        return known
    for pid in (os.getpid(), os.getppid()):
        folder = f"/proc/{pid}/fd"
        for name in os.listdir(folder):
            path = f"{folder}/{name}"
            if _is_at(path, device, inode):
                _paths[device, inode] = path
                return path
    return None


def _is_at(path: str, device: str, inode: int) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    found = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", status.st_ino
    return found == (device, inode)
