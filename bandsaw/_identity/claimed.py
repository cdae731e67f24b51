"""Finds classes of the project that name an installed module as their own.

A function that makes classes, and a metaclass that makes them of other members than the body of a
class has, leave the name of their own module in it.
"""

from __future__ import annotations

import sys

from .firstparty import canonical_module_name, is_first_party
from .kinds import attributes_of, is_changeable, module_of, qualname_of
from .sources import module_source


def module_that_has(cls: type) -> str:
    """Names the module that a class says, or the one that has it if an installed one lacks it."""
    said, name = module_of(cls), qualname_of(cls)
    if is_first_party(said) or not is_changeable(cls) or "." in name:
        return said
    if attributes_of(sys.modules.get(said)).get(name) is cls:
        return said
    found = [
        home
        for home, module in tuple(sys.modules.items())
        if attributes_of(module).get(name) is cls and is_first_party(home)
        for source in [module_source(module)]
        if source is not None and name not in source.imports
    ]
    # It may come to several modules by `import *`.
    return min(found, key=canonical_module_name, default=said)
