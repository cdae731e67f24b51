"""Records of `logging`, from the process where they are made to the loggers of the caller.

far: root logger ─ Sender ── LOG ──► near: the logger of the same name
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Callable

from ..errors import ProtocolError
from .frames import LOG, Channel

# What of a record is plain data, and travels as it is.
_PLAIN = (
    *("name", "levelno", "levelname", "pathname", "lineno", "funcName", "created", "msecs"),
    *("filename", "module"),
    *("thread", "threadName", "processName", "process", "taskName"),
)
_TEXTS = ("exc_text", "stack_info")
_STANDARD = {*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, *_PLAIN, *_TEXTS, "message"}


class Sender(logging.Handler):
    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._pid = os.getpid()

    def install(self) -> None:
        """Has all records come here, and nowhere else, that reach the root logger."""
        root = logging.getLogger()
        if root.handlers != [self]:
            root.handlers[:] = [self]

    def emit(self, record: logging.LogRecord) -> None:
        if os.getpid() != self._pid:
            # A process that the task forked would write into the middle of our messages.
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        try:
            self._channel.send((LOG, (_written(record),), None))
        except OSError:
            pass  # nobody is there any more who could read it
        except Exception:
            self.handleError(record)


def _written(record: logging.LogRecord) -> bytes:
    given = record.__dict__
    content = {name: given[name] for name in _PLAIN if name in given}
    content["msg"] = record.getMessage()
    for name in _TEXTS:
        if given.get(name):
            content[name] = given[name]
    if record.exc_info and not record.exc_text:
        content["exc_text"] = logging.Formatter().formatException(record.exc_info)
    extra = {name: value for name, value in given.items() if name not in _STANDARD}
    if extra:
        content["extra"] = {name: _plain(value) for name, value in extra.items()}
    return json.dumps(content).encode("ascii")


def _plain(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


def emitter(task: str, host: str) -> Callable[[Mapping[str, Any]], None]:
    """Returns what hands records of the far side to the loggers of this process.

    Returns a function of one record as it was sent. The records have the attributes `bandsaw_task`
    and `bandsaw_host`, and say in `process` in which process they were made.
    """

    def emit(content: Mapping[str, Any]) -> None:
        level, extra = content.get("levelno", 0), content.get("extra", {})
        if not isinstance(level, int) or not isinstance(extra, dict):
            raise ProtocolError("The body of a message LOG is no record of logging.")
        logger = logging.getLogger(str(content.get("name", "")))
        if not logger.isEnabledFor(level):
            return
        own = {name: value for name, value in content.items() if name != "extra"}
        record = logging.makeLogRecord({**extra, **own, "bandsaw_task": task, "bandsaw_host": host})
        logger.handle(record)

    return emit
