"""The first steps of a process that runs from an archive.

A folder that was unpacked keeps byte code, also where Python was told to write none: the folder
is ours, and without it every process would compile all of bandsaw again. A zip is unpacked first:
compiled modules cannot be imported from one, and data beside the code could not be opened.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType
from typing import Any

from . import keep

_PACKAGE = __name__.partition(".")[0]


def prepare() -> None:
    """Has the modules of the running archive imported in the best way that there is."""
    root = keep.running_root()
    if os.path.isdir(root):
        keep.hold(root)
        if sys.dont_write_bytecode:
            _keep_byte_code(root)
    else:
        _go_on_from(_unpacked(root))


class _KeepingLoader(SourceFileLoader):
    """Keeps byte code, whatever `sys.dont_write_bytecode` says to everybody else."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        code: CodeType = super().source_to_code(data, path, _optimize=_optimize)
        if sys.dont_write_bytecode:
            self._keep(code, os.fspath(path))
        return code

    def _keep(self, code: CodeType, path: str) -> None:
        import marshal
        from importlib.util import MAGIC_NUMBER, cache_from_source

        try:
            status = os.stat(path)
            kept = cache_from_source(path)
        except (OSError, NotImplementedError):
            return
        parts = (0, int(status.st_mtime), status.st_size)
        header = b"".join((part & 0xFFFFFFFF).to_bytes(4, "little") for part in parts)
        # Writes it whole or not at all, and does nothing where it cannot be written.
        self.set_data(kept, MAGIC_NUMBER + header + marshal.dumps(code))


def _keep_byte_code(root: str) -> None:
    prefix = root + os.sep

    def hook(path: str) -> FileFinder:
        if path != root and not path.startswith(prefix):
            raise ImportError
        return FileFinder(
            path,
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (_KeepingLoader, SOURCE_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        )

    sys.path_hooks.insert(0, hook)
    # As it was named when it was started, and again by the full name.
    sys.path[:] = [root if os.path.abspath(entry) == root else entry for entry in sys.path[:1]] + (
        sys.path[1:]
    )
    for path in list(sys.path_importer_cache):
        if path == root or path.startswith(prefix):
            del sys.path_importer_cache[path]
    for name, module in list(sys.modules.items()):
        # Those that were needed to come here. Once kept, nothing is compiled.
        spec = module.__spec__ if name.partition(".")[0] == _PACKAGE else None
        if spec is not None and spec.cached and not os.path.exists(spec.cached):
            _KeepingLoader(name, str(spec.origin)).get_code(name)


def _unpacked(archive: str) -> str:
    from pathlib import Path

    from ..errors import DistributionError
    from . import process_folder, stores
    from .zip_archive import content_of_zip

    if "--output" in sys.argv[:-1]:
        # The folder of a call goes with the call, also when this process is killed.
        output = sys.argv[sys.argv.index("--output") + 1]
        process_folder.make_in(os.path.dirname(os.path.abspath(output)))
    try:
        content = content_of_zip(Path(archive))
        return str(stores.kept(content, stores.put_folder))
    except OSError as error:
        raise DistributionError(f"{archive!r} cannot be unpacked: {error}") from error


def _go_on_from(folder: str) -> None:
    sys.path[0] = folder
    for name in list(sys.modules):
        if name.partition(".")[0] == _PACKAGE:
            del sys.modules[name]
    from bandsaw._archive import start

    start.prepare()
