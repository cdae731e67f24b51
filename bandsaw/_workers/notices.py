"""What is logged and warned of in another process, as if it was said in that of the caller.

far: root logger ─ Sender ── LOG ──► near: the logger of the same name
near: inheritance.filters() ── STATE ──► far: warn ─ Shower ── WARNING ──► near: issue(...)

Where there are no messages, the filters and the warnings travel in the headers of the session.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from types import FrameType
from typing import Any, Callable, Optional

from .. import modules
from .._session import members
from ..errors import DeserializationError, ProtocolError
from ..modules import file_of, importable_module_name
from . import inheritance
from .frames import LOG, MOST_BODY, WARNING, Channel, Frame, from_json

# What of a record is plain data, and travels as it is.
_PLAIN = (
    *("name", "levelno", "levelname", "pathname", "lineno", "funcName", "created", "msecs"),
    *("filename", "module"),
    *("thread", "threadName", "processName", "process", "taskName"),
)
_TEXTS = ("exc_text", "stack_info")
_STANDARD = {*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, *_PLAIN, *_TEXTS, "message"}
_MOST_KEPT = 1000
# Of a text of a record or warning that is too long to be sent.
_MOST_TEXT = 1_000_000
_show_here = warnings.showwarning
# What was shown of modules that are not loaded here.
_registries: dict[str, dict[Any, Any]] = {}
# The names of the modules whose files processes of this one have warned of.
_modules: dict[str, str] = {}


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
    data = json.dumps(content).encode("ascii")
    if len(data) > MOST_BODY:
        content.pop("extra", None)
        for name in ("msg", *_TEXTS):
            if name in content:
                content[name] = _cut(content[name])
        data = json.dumps(content).encode("ascii")
    return data


def _cut(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]}... ({len(text)} characters)"


def _plain(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


def pass_on(frame: Frame, task: str, host: str) -> bool:
    """Passes on what a message says, if it is of a record or a warning of the far side."""
    if frame.kind == LOG:
        emit(from_json(frame), task, host)
    elif frame.kind == WARNING:
        issue(from_json(frame))
    else:
        return False
    return True


def emit(content: Mapping[str, Any], task: str, host: str) -> None:
    """Hands a record of the far side to the logger of the same name in this process.

    It has the attributes `bandsaw_task` and `bandsaw_host`, and says in `process` in which process
    it was made.
    """
    level, extra = content.get("levelno", 0), content.get("extra", {})
    if not isinstance(level, int) or not isinstance(extra, dict):
        raise ProtocolError("The body of a message LOG is no record of logging.")
    logger = logging.getLogger(str(content.get("name", "")))
    if logger.isEnabledFor(level):
        own = {name: value for name, value in content.items() if name != "extra"}
        record = logging.makeLogRecord({**extra, **own, "bandsaw_task": task, "bandsaw_host": host})
        logger.handle(record)


def through(channel: Channel) -> Callable[[dict[str, Any]], None]:
    """Returns what sends a warning through a channel."""

    def send(content: dict[str, Any]) -> None:
        # Perhaps nobody is there any more who could read it.
        with contextlib.suppress(OSError):
            channel.send_json(WARNING, content)

    return send


class Shower:
    """Has warnings told, in place of being shown. `tell` takes each as plain data."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._pid = os.getpid()
        # One object, for comparison.
        self._show = self.show
        self._has_shown = True

    def install(self) -> None:
        """Has warnings come here, each at least once a call: the caller knows what was shown."""
        if warnings.showwarning is self._show and not self._has_shown:
            return
        warnings.showwarning = self._show
        self._has_shown = False
        warnings.onceregistry.clear()  # type: ignore[attr-defined]
        # What has been shown is forgotten when the filters change.
        with warnings.catch_warnings():
            pass

    def show(
        self,
        message: Any,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: Optional[str] = None,
    ) -> None:
        """Tells a warning. See `warnings.showwarning`."""
        self._has_shown = True
        if os.getpid() != self._pid or file is not None or not isinstance(message, Warning):
            # A process that the task forked would write into the middle of our messages.
            return _show_here(message, category, filename, lineno, file, line)
        module = _module_at(filename) or _modules.get(filename)
        self._tell(
            {
                "text": _cut(str(message)),
                "warning": members.written_failure(message).decode("utf-8"),
                "file": filename,
                "line": lineno,
                "module": module,
            }
        )


class KeptWarnings:
    """Has the warnings of one session kept in it, for a process that sends no messages."""

    def __init__(self) -> None:
        self._contents: list[dict[str, Any]] = []
        self._shower = Shower(self._keep)

    def _keep(self, content: dict[str, Any]) -> None:
        if len(self._contents) < _MOST_KEPT:
            self._contents.append(content)

    def install(self, warned: Mapping[str, Any]) -> None:
        given = warned.get("filters")
        if given is not None:
            inheritance.take_filters(given)
            self._shower.install()

    def leave(self, session: Any) -> None:
        vars(session)["_warnings"] = {"issued": self._contents} if self._contents else None


def _module_at(filename: str) -> Optional[str]:
    frame: Optional[FrameType] = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == filename:
            return frame.f_globals.get("__name__")
        frame = frame.f_back
    return None


def issue(content: Mapping[str, Any]) -> None:
    """Issues a warning of the far side in this process."""
    line, name = content.get("line") or 1, content.get("module")
    try:
        warning: Any = members.failure_of(str(content.get("warning")).encode("utf-8"))
        if not isinstance(line, int) or not isinstance(name, (str, type(None))):
            raise DeserializationError("The line or the module of a warning is none.")
    except DeserializationError as error:
        raise ProtocolError(f"The body of a message WARNING is no warning: {error}") from error
    if not isinstance(warning, Warning):
        warning = UserWarning(str(content.get("text")))
    filename = str(content.get("file"))
    main = sys.modules.get("__main__")
    if name is not None and name == importable_module_name("__main__"):
        module = main
        if not modules.is_far_end:  # where filters speak of the script by its own name
            name = "__main__"
    else:
        module = sys.modules.get(name or "")
    registry = _registries.setdefault(filename, {})
    if module is not None:
        registry = vars(module).setdefault("__warningregistry__", {})
        # On another machine it has another folder.
        here = file_of(module)
        if here is not None and os.path.basename(here) == os.path.basename(filename):
            filename = here
    where = warning, type(warning), filename, line
    if name is None:
        # With None in place of a module, Python would say nothing.
        warnings.warn_explicit(*where, registry=registry)
    else:
        _modules[filename] = str(content["module"])
        warnings.warn_explicit(*where, name, registry)
