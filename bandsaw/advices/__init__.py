"""The advices that come with bandsaw. Each is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["cache", "log", "ssh", "subprocess"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
