"""What is to be installed: texts as PEP 508 has them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..errors import InvalidValueError

# A name, and the beginning of what may follow it. pip or uv read the rest.
_SHAPE = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\]\s*)?(?:[@(<>=!~;].*)?"
)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_MOST_TOLD = 5


def checked(requirements: Any) -> tuple[str, ...]:
    if isinstance(requirements, (str, bytes)):
        raise InvalidValueError(
            f"The requirements of an environment are a list, not one text: write [{requirements!r}]"
        )
    if not isinstance(requirements, Iterable):
        raise InvalidValueError(
            f"The requirements of an environment are a list of texts, not {requirements!r}"
        )
    return tuple(sorted({_checked(requirement) for requirement in requirements}))


def _checked(requirement: Any) -> str:
    if not isinstance(requirement, str):
        raise InvalidValueError(
            f"A requirement has to be a text such as 'numpy<2', not {requirement!r} of type "
            f"{type(requirement).__name__}"
        )
    text = requirement.strip()
    if text.startswith("-"):
        raise InvalidValueError(
            f"{told([text])!r} is an option and no requirement. Name each package in a text of its "
            "own, and set options in the configuration or the environment variables of pip or uv."
        )
    # Requirements become lines of a file, in which options and comments would count.
    is_one_line = text.isprintable() and not text.endswith("\\")
    if not is_one_line or re.search(r"\s[-#]", text) or not _SHAPE.fullmatch(text):
        raise InvalidValueError(
            f"{told([text])!r} is no requirement: write each one as in 'numpy', 'numpy>=1.26,<2', "
            "'pandas[excel]', or 'name @ file:///a/folder' for one that lies somewhere."
        )
    return text


def told(requirements: Iterable[str]) -> str:
    """Names requirements to humans: not all of many, and without what gives access to a host."""
    texts = masked(requirements)
    if len(texts) > _MOST_TOLD:
        return f"{', '.join(texts[: _MOST_TOLD - 1])} and {len(texts) - _MOST_TOLD + 1} more"
    return ", ".join(texts) if texts else "no packages"


def masked(requirements: Iterable[str]) -> list[str]:
    """Gives requirements without the names and passwords that may stand in their URLs."""
    return [_CREDENTIALS.sub("****@", text) for text in requirements]
