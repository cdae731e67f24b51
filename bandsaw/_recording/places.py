"""Where the file of a project lies."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import Any, Optional

from .. import modules
from .._system.home import kept_folder


def default_file(configuration: Any) -> str:
    """Returns the file for the project of a configuration: that of the folder of its module."""
    name = getattr(configuration, "module_name", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    path: Optional[str] = None if module is None else modules.file_of(module)
    return file_in_home(os.path.dirname(os.path.abspath(path)) if path else os.getcwd())


def file_in_home(folder: str) -> str:
    folder = os.path.realpath(folder)
    label = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(folder))[:40] or "project"
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return str(kept_folder("runs") / f"{label}-{digest}.sqlite")
