"""Whole modules as dependencies: all of their source."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from types import ModuleType
from typing import Any

from .._system.importing import late_import
from .firstparty import canonical_module_name, global_name, is_first_party
from .kinds import attributes_of, name_of_module
from .names import module_source
from .syntax import write_syntax


def digest_of_module(module: ModuleType) -> bytes:
    """Digests all source of a module, and of everything below it where it is a package."""
    own = name_of_module(module)
    if not is_first_party(own):
        return sha256(global_name(own, "")).digest()
    digest = sha256(canonical_module_name(own).encode())
    folders = list(attributes_of(module).get("__path__", ()))
    source = module_source(module)
    if source is not None:
        digest.update(write_syntax(source.tree))
    elif not folders:
        from ..errors import IdentityError

        raise IdentityError(f"the module {own!r} has no source to make an id of")
    for folder in folders:
        for name, path in sorted(_files_below(folder)):
            digest.update(b"%d:" % len(name) + name.encode() + _digest_of_file(path))
    return digest.digest()


def loaded_modules(module: ModuleType) -> dict[str, tuple[Any, Any]]:
    """Finds a first-party module and the loaded ones below it, with their specs, by name."""
    if not is_first_party(module.__name__):
        return {}
    below = module.__name__ + "."
    loaded = {name: found for name, found in list(sys.modules.items()) if name.startswith(below)}
    loaded[module.__name__] = module
    return {name: (found, getattr(found, "__spec__", None)) for name, found in loaded.items()
            if isinstance(found, ModuleType)}  # fmt: skip


def _files_below(folder: str) -> list[tuple[str, str]]:
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(parent, name)
                found.append((os.path.relpath(path, folder).replace(os.sep, "/"), path))
    return found


def _digest_of_file(path: str) -> bytes:
    with late_import:
        from .sources import source_of

    source = source_of(path, {})
    if source is None:
        from ..errors import IdentityError

        raise IdentityError(f"{path!r} cannot be parsed, so no id can be made of it")
    return sha256(write_syntax(source.tree)).digest()
