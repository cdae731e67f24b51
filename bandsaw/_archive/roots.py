"""What an archive of a configuration begins with, and when it has to have more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .._identity.firstparty import is_first_party
from .contents import Content

if TYPE_CHECKING:
    from ..config import Configuration

# So many archives say what modules import.
_MOST_LATEST = 4


def roots_of(configuration: Configuration) -> dict[str, str]:
    """Names the modules from which first-party modules are reached."""
    chains = [part for chain in list(configuration._tuples.values()) for part in chain]
    parts = [*chains, *configuration.extensions, configuration.serializer, configuration]
    roots = {type(part).__module__: "configuration" for part in parts}
    roots.update(dict.fromkeys(list(configuration._task_modules), "has a task"))
    return roots


def lacks_a_task(content: Content, configuration: Configuration) -> bool:
    """Says whether there is a task of a configuration whose module an archive does not have."""
    needed = list(configuration._task_modules)
    if "__main__" in needed and content.manifest["main"] is None:
        from .closure import referred_to

        needed += referred_to("__main__")  # a notebook, where imports go on
    return not all(content.holds(name) for name in needed if is_first_party(name))


def known_imports() -> dict[str, list[str]]:
    """Reads what modules import, as far as it was found for archives that are kept."""
    from .._system.home import kept_folder
    from . import imports, keep

    try:
        return imports.read(map(Path, keep.latest(str(kept_folder("archives")))[:_MOST_LATEST]))
    except OSError:
        return {}  # nothing can be kept, or it was removed at this moment
