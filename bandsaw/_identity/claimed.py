"""Finds classes of the project that name an installed module as their own.

A function that makes classes, and a metaclass that makes them of other members than the body of a
class has, leave the name of their own module in it.
"""

from __future__ import annotations

import sys
from typing import Optional

from .firstparty import canonical_module_name, is_first_party
from .kinds import attributes_of, is_changeable, module_of, qualname_of
from .names import module_source


def home_of_claimed(cls: type) -> Optional[str]:
    """Names the module of the project that has a class which an installed module claims but lacks.

    Returns `None` for any other class.
    """
    name = qualname_of(cls)
    claimed_by = sys.modules.get(module_of(cls))
    if not is_changeable(cls) or "." in name or attributes_of(claimed_by).get(name) is cls:
        return None
    found = [
        home
        for home, module in tuple(sys.modules.items())
        if attributes_of(module).get(name) is cls and is_first_party(home)
        for source in [module_source(module)]
        if source is not None and name not in source.imports
    ]
    # It may come to several modules by `import *`.
    return min(found, key=canonical_module_name, default=None)
