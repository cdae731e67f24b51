"""The names under which modules, and what installed modules offer, count."""

from __future__ import annotations

from typing import Any

from ..modules import main_module_name
from .firstparty import distribution_of
from .forms import write_str

# What newer versions of Python moved.
_RENAMED = {"pathlib._local": "pathlib", "pathlib._abc": "pathlib", "re._compiler": "re"}


def global_name(module: Any, name: Any) -> bytes:
    """Writes the name of something installed, with the version of what is not Python's own."""
    module = _RENAMED.get(str(module), module or "builtins")
    distribution = distribution_of(module)
    parts = [str(module), str(name), *(distribution or ())]
    return b"g%d:" % len(parts) + b"".join(write_str(part) for part in parts)


def names_of_global(written: bytes) -> tuple[str, str, str, str]:
    """Reads module, name, distribution and version, empty for Python's own."""
    count, _, rest = written[1:].partition(b":")
    names = []
    for _ in range(int(count)):
        length, _, rest = rest[1:].partition(b":")
        names.append(rest[: int(length)].decode("utf-8", "surrogatepass"))
        rest = rest[int(length) :]
    module, name, distribution, version = (*names, "", "")[:4]
    return module, name, distribution, version


def unversioned_name(written: bytes) -> bytes:
    """Takes the distribution and its version out of what `global_name` wrote."""
    module, name, _, _ = names_of_global(written)
    return b"g2:" + write_str(module) + write_str(name)


def canonical_module_name(name: Any) -> str:
    """Gives the name by which a module, or the script, can be imported."""
    if name not in ("__main__", "__mp_main__"):
        return str(name)
    return main_module_name() or "__main__"
