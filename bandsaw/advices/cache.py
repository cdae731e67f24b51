"""An advice that keeps results and serves them again."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any, Optional, Union

from .. import _entry
from ..advice import Advice
from ..errors import IdentityError
from ..identifier import identifier_from_string
from ..result import Result
from ..session import Session

logger = logging.getLogger(__name__)


class CachingAdvice(Advice):
    """Keeps the values that tasks return, and serves them without executing the task again.

    A result is kept in one file, `directory / task_id / execution_id`, readable by its owner only.
    Exceptions are not kept. A file that is damaged or cannot be read or written costs a warning and
    a computation, and never the call.

    Args:
        directory: Where the files are. Made on first use if it is missing.

    Attributes:
        directory: The directory, a `Path`.
    """

    def __init__(self, directory: Union[str, os.PathLike[str]]) -> None:
        self.directory = Path(directory)

    def before(self, session: Session) -> None:
        """Concludes with the result that was kept, where there is one. See `Advice.before`.

        Raises:
            IdentityError: If an argument has no canonical form (a `TypeError`); names which one.
        """
        path = self._path(session)
        result = _load(path, session, logging.WARNING)
        if result is None:
            session.proceed()
        else:
            logger.info("Served from the cache: %s (%s)", session.task, path.name)
            session.conclude(result)

    def after(self, session: Session) -> None:
        """Keeps the value that the task returned. See `Advice.after`."""
        if session.result.exception is None:
            path = self._path(session)
            # It may have come in the meantime; an intact one stays as it is.
            if _load(path, session, logging.DEBUG) is None:
                _store(path, session)
        session.proceed()

    def _path(self, session: Session) -> Path:
        return self.directory / _name(session.task.task_id) / _name(session.execution.execution_id)


def _name(an_id: Any) -> str:
    """Returns an id as the name of a file; one that cannot be is replaced by its digest."""
    if an_id is None:
        raise IdentityError("A call without an id cannot be cached: its task has no signature.")
    text = str(an_id)
    if (
        text in ("", ".", "..")
        or len(text) > 128
        or not text.isprintable()
        or set(text) & set("/\\:")
    ):
        return identifier_from_string(text)
    return text


def _load(path: Path, session: Session, level: int) -> Optional[Result]:
    try:
        result = session.serializer.deserialize(io.BytesIO(_entry.read(path)))
    except FileNotFoundError:
        return None
    except Exception as error:
        logger.log(level, "The cache entry %s is not used: %s", path, error)
        return None
    if not isinstance(result, Result) or result.exception is not None:
        logger.log(level, "The cache entry %s is not used: it holds %r", path, type(result))
        return None
    return result


def _store(path: Path, session: Session) -> None:
    payload = io.BytesIO()
    try:
        session.serializer.serialize(session.result, payload)
        _entry.write(path, payload.getvalue())
    except Exception as error:
        logger.warning(
            "The result of %s is not kept in the cache as %s: %s", session.task, path, error
        )
