"""How archives are unpacked: what kept ones have already is shared, the rest is written.

A file that another archive has is linked, or copied where it cannot be, after a look at its digest.

This module is imported, and also sent as text, after `keep`: see there.
"""

import errno
import hashlib
import json
import os
import re
import stat

if "." in __name__:
    # Else it was sent as text, and they are there.
    from .keep import MANIFEST, TIME, discard, latest, listed, remove

# For a type checker. To import it takes longer than most of what is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

_BYTE_CODE = re.compile(r"([^/]+/)*__pycache__/[^/]+\.pyc")
# So many of those that were used last are looked through for files.
_MOST_OTHERS = 16
_CHUNK = 1 << 20
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


def as_bytes(manifest: "Any") -> bytes:
    # Without an indent, which Python's encoder in C does not know.
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def checked_manifest(data: bytes, digest: "Optional[str]" = None) -> "Any":
    """Reads what an archive says of itself; an error if that is not what its digest stands for."""
    manifest = json.loads(data.decode())
    said = manifest.pop("digest")
    if not hashlib.sha256(as_bytes(manifest)).hexdigest()[:32] == said == (digest or said):
        raise ValueError("it is another archive")
    manifest["digest"] = said
    return manifest


def is_whole(folder: str) -> bool:
    """Says whether a folder holds the archive by whose digest it is named, undamaged."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return False
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            manifest = checked_manifest(file.read(), os.path.basename(folder))
        for name, member in manifest["members"].items():
            status = os.lstat(os.path.join(folder, *name.split("/")))
            # Who edits a file leaves another time.
            if not _is_ours(status, member) or int(status.st_mtime) != TIME:
                return False
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    return True


def _is_ours(status: os.stat_result, member: "Any") -> bool:
    if not stat.S_ISREG(status.st_mode) or status.st_size != member["size"]:
        return False
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid()


def _mode_of(member: "Any") -> int:
    return 0o700 if member.get("executable") else 0o600


class Unpacking:
    """An archive that is being unpacked: what other archives have of it is there at once."""

    def __init__(self, folder: str, manifest: bytes) -> None:
        self._folder = folder
        base, digest = os.path.split(folder)
        self._members = checked_manifest(manifest, digest)["members"]
        self.lacking = dict(self._members)  # the members that have to be written, by their names
        self._temporary = os.path.join(base, "." + digest[:8] + "-" + os.urandom(8).hex())
        self._made = {self._temporary}
        self._file: Any = None
        self._hash: Any = None
        self._others: list[Any] = []
        os.mkdir(self._temporary, 0o700)
        try:
            self._share(base)
            self.add(MANIFEST, [manifest])
        except BaseException:
            self.abandon()
            raise

    def _share(self, base: str) -> None:
        wanted: dict[Any, list[str]] = {}
        for name, member in self._members.items():
            wanted.setdefault((member["digest"], _mode_of(member)), []).append(name)
        for other in latest(base)[:_MOST_OTHERS]:
            if not wanted:
                return
            try:
                with open(os.path.join(other, MANIFEST), "rb") as file:
                    members = json.loads(file.read().decode())["members"]
                known = [(name, (member["digest"], _mode_of(member)))
                         for name, member in members.items()]  # fmt: skip
            except (OSError, ValueError, KeyError, AttributeError, TypeError):
                continue  # it is being removed, or damaged
            self._others.append((other, members))
            for name, key in known:
                if key in wanted and self._take(os.path.join(other, *name.split("/")), wanted[key]):
                    del wanted[key]

    def _take(self, source: str, names: "list[str]") -> bool:
        """Takes over a kept file, if it is what it should be, for members that are the same."""
        member = self._members[names[0]]
        try:
            descriptor = os.open(source, os.O_RDONLY | _FLAGS)
        except OSError:
            return False
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            # The mode belongs to the file, whichever archives share it.
            is_same_mode = os.name == "nt" or status.st_mode & 0o777 == _mode_of(member)
            if not _is_ours(status, member) or not is_same_mode:
                return False
            found = hashlib.sha256()
            for piece in iter(lambda: file.read(_CHUNK), b""):
                found.update(piece)
            if not found.hexdigest().startswith(member["digest"]):
                return False
            for name in names:
                path = self._place(name)
                try:
                    os.link(source, path)
                except OSError:
                    file.seek(0)
                    self.add(name, iter(lambda: file.read(_CHUNK), b""))
                else:
                    os.utime(path, (TIME, TIME))
                    del self.lacking[name]
        return True

    def _place(self, name: str) -> str:
        path = os.path.join(self._temporary, *name.split("/"))
        above = os.path.dirname(path)
        if above not in self._made:
            os.makedirs(above, mode=0o700, exist_ok=True)
            self._made.add(above)
        return path

    def add(self, name: str, pieces: "Any") -> None:
        self.begin(name)
        for piece in pieces:
            self.write(piece)
        self.end()

    def begin(self, name: str) -> None:
        """Begins to write a file: a member that is lacking, or byte code."""
        member = self.lacking.get(name)
        extra = (_BYTE_CODE.fullmatch(name) and ".." not in name.split("/")) or "/" not in name
        if member is None and (name in self._members or not extra):
            raise ValueError(f"{name} does not belong to the archive")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        self._name, self._hash = name, hashlib.sha256()
        self._file = os.open(self._place(name), flags, _mode_of(member or {}))

    def write(self, data: "Any") -> None:
        self._hash.update(data)
        while data:
            data = data[os.write(self._file, data) :]

    def end(self) -> None:
        """Ends the file. What did not arrive whole is an error."""
        file, self._file = self._file, None
        os.close(file)
        name = self._name
        member = self.lacking.get(name)
        if member is not None and not self._hash.hexdigest().startswith(member["digest"]):
            raise ValueError(f"{name} of the archive did not arrive whole")
        os.utime(os.path.join(self._temporary, *name.split("/")), (TIME, TIME))
        self.lacking.pop(name, None)

    def finish(self) -> None:
        if self.lacking:
            raise ValueError(f"{min(self.lacking)} of the archive did not arrive")
        self._take_over_byte_code()
        while not self._is_placed():
            discard(self._folder)

    def _is_placed(self) -> bool:
        try:
            os.rename(self._temporary, self._folder)
            return True
        except OSError as error:
            # Something was there. Somebody else may have removed it meanwhile.
            taken = error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
            # Windows says the same of a folder that is there and of one that cannot be written.
            if not taken and not (error.errno == errno.EACCES and os.path.lexists(self._folder)):
                raise
        if is_whole(self._folder):
            self.abandon()  # another one was faster
            return True
        return False

    def abandon(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        remove(self._temporary)

    def _take_over_byte_code(self) -> None:
        """Links byte code that other archives have of the very same files."""
        wanted: dict[str, dict[str, str]] = {}
        for name, member in self._members.items():
            if name.endswith(".py"):
                inner, _, last = name.rpartition("/")
                wanted.setdefault(inner, {})[last[:-3]] = member["digest"]
        for other, members in self._others:
            for inner, digests in wanted.items():
                folder = os.path.join(other, inner, "__pycache__")
                for found in listed(folder):
                    stem = found.partition(".")[0]
                    known = members.get((inner + "/" + stem + ".py").lstrip("/"), {}).get("digest")
                    if found.endswith(".pyc") and known and known == digests.get(stem):
                        name = (inner + "/__pycache__/" + found).lstrip("/")
                        self._take_byte_code(os.path.join(folder, found), name)

    def _take_byte_code(self, source: str, name: str) -> None:
        path = self._place(name)
        try:
            # Byte code is replaced and never written in place, so that it can be shared.
            os.link(source, path)
        except FileExistsError:
            pass
        except OSError:
            import shutil

            try:
                shutil.copyfile(source, path)
            except OSError:
                remove(path)  # it costs time to do without, and nothing else
