"""Notes on failures for want of something that is here and was not sent along."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, Optional

from .._identity.firstparty import is_first_party
from .._tracebacks import add_note
from ..errors import RemoteTraceback
from . import locate

_MOST_CAUSES = 20
# The folder of an archive on the other machine.
_FAR_ROOT = re.compile(r".*[\\/][0-9a-f]{32}[\\/](.+)", re.DOTALL)


def note(error: BaseException, archive: Any, host: str) -> None:
    """Adds notes to an error from another machine: what was not sent there, and how to send it."""
    for each in _causes(error):
        text = None
        if isinstance(each, FileNotFoundError):
            text = _of_file(each, archive, host)
        elif isinstance(each, ModuleNotFoundError):
            text = _of_module(each, archive, host)
        if text is not None:
            add_note(each, text)


def name_files_here(error: BaseException, archive: Any) -> None:
    """Has the tracebacks that came with an error name the files of this machine."""

    def here(match: re.Match[str]) -> str:
        for root in archive.roots:
            path = os.path.join(root, *re.split(r"[\\/]", match[1]))
            if os.path.isfile(path):
                return f'File "{path}"'
        return match[0]

    for each in _causes(error):
        if isinstance(each, RemoteTraceback):
            each.args = (_FAR_FILE.sub(here, str(each)),)


_FAR_FILE = re.compile(r'File "[^"\n]*[\\/][0-9a-f]{32}[\\/]([^"\n]+)"')


def _causes(error: Optional[BaseException]) -> Iterator[BaseException]:
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__context__ if error.__cause__ is None else error.__cause__


def _of_file(error: FileNotFoundError, archive: Any, host: str) -> Optional[str]:
    name = error.filename
    if not isinstance(name, str) or "\0" in name:
        return None
    far = _FAR_ROOT.fullmatch(name)
    inner = os.path.normpath(far[1] if far else name).replace("\\", "/")
    for root in archive.roots:
        path = os.path.join(root, inner)
        if not os.path.exists(path):
            continue
        member = os.path.relpath(path, root).replace(os.sep, "/")
        if member in archive.members:
            where = "It is beside the code there: open it by a path made of `__file__`."
        elif member in archive.left_out:
            where = f"It was left out: it is {archive.left_out[member]}. {_SEND.format(path)}"
        else:
            where = _SEND.format(path)
        return f"{path!r} is here, and was not found on {host}. {where}"
    return None


_SEND = "configuration.add_files_for_distribution({!r}) sends it along."


def _of_module(error: ModuleNotFoundError, archive: Any, host: str) -> Optional[str]:
    name = error.name
    if not isinstance(name, str) or not name.isprintable() or not is_first_party(name):
        return None
    spec = locate.locate(name)
    if spec is None or archive.holds(name):
        return None
    place = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    return (
        f"The module {name!r} is here ({place}), and was not sent to {host}: nothing that was "
        f"found imports it. configuration.add_modules_for_distribution({name!r}) sends it along."
    )
