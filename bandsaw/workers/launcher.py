"""The templates of this process.

A template serves all calls with the same interpreter, code and preloaded modules, and ends with
this process, or when its code has been replaced and nothing runs in it any more.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from .._system import ending
from .._system.processes import in_forked_processes
from ..errors import WorkerStartError
from . import state
from .child import Child
from .near_template import Check, Code, Kind, Template, replace_older, started

_templates: dict[Kind, Template] = {}
_lock = threading.Lock()
_locks: dict[Kind, threading.Lock] = {}


def take_over(control: socket.socket, kind: Sequence[Any], hello: Mapping[str, Any]) -> None:
    """Notes, in a process of a task, how to reach the template that it was forked from."""
    executable, code, preload, at_start = kind
    known = Kind(executable, code, tuple(preload), tuple((n, v) for n, v in at_start))
    _templates[known] = Template(known, control, None, hello, {})


def template_for(kind: Kind, inherited: state.Inherited, code: Code) -> Template:
    """Returns the template of a kind, started on first use."""
    template = _templates.get(kind)
    if template is not None and not (template.hello["files"] and template.is_stale()):
        return template
    with _lock:
        lock = _locks.setdefault(kind, threading.Lock())
    with lock:
        template = _templates.get(kind)
        if template is not None and template.is_stale():
            del _templates[kind]
            template.replace()
            template = None
        if template is None:
            template = started(kind, inherited, code)
            _templates[kind] = template
            replace_older(_templates, kind)
    return template


def can_start() -> bool:
    """Whether the task has left open what leads to the templates of this process."""
    return all(template.is_reachable() for template in list(_templates.values()))


def start(kind: Kind, inherited: state.Inherited, code: Code, check: Check, *, fork: bool) -> Child:
    for attempt in (1, 2):
        template = template_for(kind, inherited, code)
        if template.has_threads and kind.preload:
            # What it has loaded is of no use then, and would only be in the way.
            return start(kind._replace(preload=()), inherited, code, check, fork=False)
        check(template.hello)
        try:
            return template.take(fork and not template.has_threads)
        except BrokenPipeError as error:
            # Somebody has ended it.
            _forget(template)
            if attempt == 2:
                raise WorkerStartError(
                    f"A process for tasks could not be started: {error}"
                ) from error
        except OSError as error:
            raise WorkerStartError(f"A process for tasks could not be started: {error}") from error
    raise AssertionError("unreachable")


def prepare_next(kind: Kind, *, fork: bool) -> None:
    template = _templates.get(kind)
    if template is not None and template.has_threads and kind.preload:
        template, fork = _templates.get(kind._replace(preload=())), False
    if template is not None:
        template.prepare_next(fork and not template.has_threads)


def _forget(template: Template) -> None:
    if _templates.get(template.kind) is template:
        del _templates[template.kind]
    template.close()


@ending.at_exit
def close_all() -> None:
    while _templates:
        _, template = _templates.popitem()
        template.close()


@in_forked_processes
def _let_go() -> None:
    # What is the parent's is not for a forked process to use, or to keep alive.
    global _lock
    for template in _templates.values():
        template.let_go()
    _templates.clear()
    _locks.clear()
    _lock = threading.Lock()
