"""The advices that come with bandsaw. Each is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .. import _ELSEWHERE

if TYPE_CHECKING:
    from . import cache as cache
    from . import executor as executor
    from . import log as log
    from . import retry as retry
    from . import ssh as ssh
    from . import subprocess as subprocess

__all__ = ["cache", "executor", "log", "retry", "ssh", "subprocess"]


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return importlib.import_module(f"{__name__}.{name}")
        home = _ELSEWHERE.get(name, "")
        hint = f": look in bandsaw.{home}" if home.startswith("advices.") else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
