"""The far side of a channel: goes on with sessions and sends them back.

    STATE ─► take over;  SESSION ─► restore, proceed, save ─► RETURN or FAILURE;  BYE ─► end

`process_main` starts it in a process of its own, `fork_server` in a process that it forked.
"""

from __future__ import annotations

import atexit
import errno
import operator
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Optional

from .. import _tracebacks as tracebacks
from .. import modules, run
from .._archive import finder
from .._files import carrying
from .._session import members, packing, telling
from .._session.headers import SAME
from .._system import callers
from ..errors import ProtocolError, WorkerError
from ..session import Session
from . import (
    boundary,
    bulk_files,
    envelope,
    frames,
    inheritance,
    notices,
    repeat_calls,
)
from .frames import Channel


def serve_to_the_end(channel: Channel) -> int:
    """Goes on with the sessions that come, and ends as Python does, but for the exit itself."""
    code = 0
    try:
        serve(channel)
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            tracebacks.leave_out_when_printed()
        sys.excepthook(type(error), error, error.__traceback__)
        code = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    # The task may have left threads, and things to be done at the end.
    shutdown: Any = vars(threading)["_shutdown"]
    run_exit_functions: Any = vars(atexit)["_run_exitfuncs"]
    for step in (shutdown, run_exit_functions, _flush):
        try:
            step()
        except BaseException:
            sys.excepthook(*sys.exc_info())
    return code


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    try:
        print(error.code, file=sys.stderr)
    except (OSError, ValueError):
        pass
    return 1


def serve(channel: Channel) -> None:
    """Goes on with the sessions that come, until no more do."""
    handler = notices.Sender(channel)
    handler.install()
    shower = notices.Shower(notices.through(channel))
    shower.install()
    told: dict[str, Any] = {}
    known: dict[Any, repeat_calls.Shape] = {}
    asking = Asking(channel)
    try:
        while True:
            frame = _next(channel, told.get("idle_seconds"))
            if frame is None or frame.kind == frames.BYE:
                return
            if frame.kind == frames.STATE:
                content = frames.from_json(frame)
                _take_over(content)
                told.update(content)
                callers.has_place = content.get("has_place", callers.has_place)
                telling.wanted = content.get("facts", telling.wanted)
                _give_signs_of_life(channel, content.get("heartbeat_seconds"))
            elif frame.kind in (frames.SESSION, frames.AGAIN):
                is_last = told.get("is_last", False)
                with asking:
                    messages = _go_on(frame, told, known, handler, shower)
                if not is_last:
                    bulk_files.keep_lent()
                    # The next call would meet what a task has closed: it goes to another process.
                    # Where nothing has loaded the module, nothing leads to a fork server.
                    fork_servers: Any = sys.modules.get(f"{__package__}.fork_servers")
                    if fork_servers is not None and not fork_servers.can_start():
                        messages.append((frames.BYE, (), None))
                _answer(channel, messages)
                if is_last or messages[-1][0] == frames.BYE:
                    return
                told.pop("number", None)
            else:
                raise ProtocolError(f"A message {frames.NAMES[frame.kind]} came here.")
    except (EOFError, BrokenPipeError):
        return  # nobody waits for us any more


def _next(channel: Channel, idle_seconds: Optional[float]) -> Optional[frames.Frame]:
    if idle_seconds is None:
        return channel.receive()
    frame = channel.next()
    if frame is None:
        left = idle_seconds
        while not frames.is_ready(channel, select.POLLIN, min(left, frames.LONGEST_WAIT_SECONDS)):
            left -= frames.LONGEST_WAIT_SECONDS
            if left <= 0:
                channel.send((frames.BYE, (), None))
                return None
    return frame or channel.receive()


def _give_signs_of_life(channel: Channel, seconds: Optional[float]) -> None:
    if seconds is None:
        return

    def beat() -> None:
        while True:
            time.sleep(seconds)
            try:
                channel.send((frames.HEARTBEAT, (), None))
            except OSError:
                return

    # The first one says that it has begun: only from then on one may be missing.
    channel.send((frames.HEARTBEAT, (), None))
    threading.Thread(target=beat, daemon=True, name="bandsaw-heartbeat").start()


def _take_over(content: dict[str, Any]) -> None:
    run_id = content.get("run_id")
    if run_id is not None and run._RUN_ID is None:
        run.take_run_id(run_id)
    take_code(content)
    carrying.take_over(content)
    inheritance.apply(content)


def take_code(content: Mapping[str, Any]) -> None:
    """Takes over what the process on the other side says about the code, if it says anything."""
    code = content.get("code")
    if code and "beside" in code:
        from .._archive import beside

        beside.take(code["beside"])
    elif code:
        finder.take(code)
        modules.signed_by = code["signed_by"]


class Asking:
    """A context in which the texts of edited files are asked for. It can be entered again."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_open = False

    def __enter__(self) -> None:
        self._is_open = True
        finder.ask = self._ask

    def _ask(self, path: str) -> Optional[bytes]:
        with self._lock:
            if not self._is_open or os.getpid() != self._pid:
                return None  # nobody listens any more
            self._channel.send((frames.CODE, (path.encode("utf-8", "surrogateescape"),), None))
            body = self._channel.receive_code().body
            return body[1:] if body[:1] == b"1" else None

    def __exit__(self, *_: object) -> None:
        if os.getpid() == self._pid:
            with self._lock:
                self._is_open = False
                finder.ask = None


def _go_on(
    frame: frames.Frame,
    told: Mapping[str, Any],
    known: dict[Any, repeat_calls.Shape],
    handler: notices.Sender,
    shower: notices.Shower,
) -> list[frames.Message]:
    pid = os.getpid()
    noted: dict[str, Any] = {}
    measured = telling.Measured() if telling.wanted else None
    callers.forget()
    carrying.forget()
    # An earlier task may have gone elsewhere.
    inheritance.undo()
    shower.install()
    try:
        session = _session_of(frame, known, told.get("number"))
        # A configuration that sets logging up does so for the caller, who has its handlers.
        handler.install()
        if frame.kind == frames.SESSION:
            shower.install()  # what was loaded may have replaced it
        # Whatever else refers to what was sent would keep it in memory.
        del frame
        had = parts_of(session)
        session.__dict__.pop("_facts", None)  # the other side has them
        try:
            telling.proceed(session)
        finally:
            noted = {**session.__dict__.pop("_facts", {}), **(measured.facts() if measured else {})}
        left_out = same(session, had)
        homeward = _homeward(session)  # one, so that what is written twice has its files once
        done = repeat_calls.done(session, left_out, homeward) if known else None
        if done is not None:
            message = done
        else:
            with homeward:
                packed = packing.packed(session, left_out)
            try:
                directory = told.get("bulk_directory")
                message = envelope.message(frames.RETURN, packed, directory)
            except OSError as error:
                raise WorkerError(
                    f"The session of task {session.task} cannot be sent back: there is no room for "
                    f"its data: {error}"
                ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if os.getpid() != pid and not isinstance(error, Exception):
            raise  # in a process that the task has forked
        # What ends a process ends the call, and not the process, which goes on with the next one.
        message = (frames.FAILURE, (members.written_failure(error),), None)
    _flush()
    if os.getpid() != pid:
        # A process that the task has forked, and that came back from it. One answer is enough.
        os._exit(0)
    if noted:
        return [frames.json_message(frames.FACTS, noted), message]
    return [message]


def _homeward(session: Session) -> carrying.Homeward:
    if carrying.back is None:
        return carrying.Homeward(session)
    from .._files.bundle import Back

    return Back(session, carrying.back)


def _answer(channel: Channel, messages: list[frames.Message]) -> None:
    try:
        channel.send(*messages)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ENOTSOCK):
            raise
        raise ProtocolError(
            "The task has closed file descriptors that are not its own: the channel on which its "
            "result was to be sent is among them."
        ) from error
    for _, _, descriptor in messages:
        if descriptor is not None:
            os.close(descriptor)


def _session_of(frame: frames.Frame, known: dict[Any, repeat_calls.Shape], number: Any) -> Session:
    if frame.kind == frames.AGAIN:
        return repeat_calls.restored(known, frame.body)
    session = Session()
    session._unpack(members.read_members(envelope.members(frame)))
    if number is not None:
        shape = repeat_calls.shape_of(session)
        if shape is not None:
            known[number] = shape._replace(callers=callers.known())
    return session


def parts_of(session: Session) -> tuple[Any, ...]:
    execution = session.execution
    return (
        session.task,
        execution,
        getattr(execution, "args", None),
        getattr(execution, "kwargs", None),
    )


def same(session: Session, had: tuple[Any, ...]) -> dict[str, str]:
    """Says what the other side has: what was sent and is the same object still, and empty ones."""
    task, *has = parts_of(session)
    left_out = boundary.new_values(session)
    if task is had[0]:
        left_out["task"] = SAME
    if all(map(operator.is_, has, had[1:])):
        left_out["execution"] = SAME
    return left_out


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # missing, closed by the task, or an object of its own
