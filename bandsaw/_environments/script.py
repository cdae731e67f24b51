"""The metadata that a script carries in a comment: PEP 723.

# /// script
# requires-python = ">=3.11"
# dependencies = ["requests<3"]
# ///
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from ..errors import EnvironmentBuildError, InvalidValueError

_START = re.compile(r"# /// ([a-zA-Z0-9-]+)")
_END = "# ///"
_EXAMPLE = '# /// script\n# dependencies = ["numpy<2"]\n# ///'


class Metadata(NamedTuple):
    dependencies: list[str]  # the requirements
    requires_python: Optional[str]  # version specifiers, `None` where it has none


def read_metadata(path: str) -> Metadata:
    with open(path, encoding="utf-8-sig") as file:
        try:
            text = file.read()
        except UnicodeDecodeError as error:
            raise InvalidValueError(f"The script {path!r} is not in UTF-8: {error}") from error
    found = [content for kind, content in blocks_of(text) if kind == "script"]
    if len(found) != 1:
        raise InvalidValueError(
            f"The script {path!r} has {len(found)} blocks `# /// script` that say what it needs. "
            f"{'Merge them into one' if found else 'Write such a comment'}:\n{_EXAMPLE}"
        )
    toml = _toml()
    try:
        values: dict[str, Any] = toml.loads(found[0])
    except toml.TOMLDecodeError as error:
        raise InvalidValueError(
            f"The block `# /// script` of {path!r} is no TOML: {error}. It has to be as in\n"
            f"{_EXAMPLE}"
        ) from error
    dependencies = values.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(d, str) for d in dependencies):
        raise InvalidValueError(
            f"`dependencies` in the block `# /// script` of {path!r} has to be a list of texts, "
            f'not {dependencies!r}: write dependencies = ["numpy<2"]'
        )
    requires_python = values.get("requires-python")
    if not isinstance(requires_python, (str, type(None))):
        raise InvalidValueError(
            f"`requires-python` in the block `# /// script` of {path!r} has to be a text, not "
            f'{requires_python!r}: write requires-python = ">=3.11"'
        )
    return Metadata(dependencies, requires_python)


def blocks_of(text: str) -> Iterator[tuple[str, str]]:
    """Yields type and content of each block of metadata in a script that is closed."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        start = _START.fullmatch(lines[number])
        number += 1
        if start is None:
            continue
        stop = number
        while stop < len(lines) and (lines[stop] == "#" or lines[stop].startswith("# ")):
            stop += 1
        # The last `# ///` closes the block, which must not be empty.
        ends = [end for end in range(number + 1, stop) if lines[end] == _END]
        if ends:
            yield start[1], "".join(f"{line[2:]}\n" for line in lines[number : ends[-1]])
            number = ends[-1] + 1


def _toml() -> Any:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise EnvironmentBuildError(
            "What a script needs is written in TOML, which Python reads from 3.11 on. With this "
            "one, install the extra `environments`: pip install 'bandsaw[environments]'"
        ) from error
