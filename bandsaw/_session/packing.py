"""A session as members, and members as a session again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from .. import modules
from .._system import callers
from ..context import Context
from ..errors import SessionError, SessionFileError
from ..execution import Execution
from ..serialization.serializer import crossing
from ..tasks import Task
from . import headers, members
from .members import Saved
from .moderator import _Moderator

# In a process that sends no messages: takes what a session says of warnings.
take_warnings: Optional[Callable[[Mapping[str, Any]], None]] = None


def packed(
    session: Any, left_out: Mapping[str, str], environment: Optional[Mapping[str, str]] = None
) -> dict[str, Sequence[Any]]:
    """Writes everything of a session, see `Session.save` and `members.members_of`."""
    name = modules.importable_module_name(session._known_configuration().module_name)
    if name is None:
        raise SessionError(
            "A session can be saved only if its configuration comes from a module that can be "
            f"imported, and {session.configuration} does not."
        )
    header = {
        "nonce": session.nonce,
        "ids": session._known_ids(),
        "configuration": name,
        "advice_chain": session.advice_chain,
        "run_id": session.run_id,
        "main": modules.main_module_name(),
        "environment": dict(environment or {}),
        "callers": callers.callers_of(str(session.task)),
        "computing": callers.held(session),
        "moderator": session._moderator.serialized(),
        "left_out": left_out,
        "code": session._code_now(),
    }
    if session.__dict__.get("_facts"):
        header["facts"] = session.facts
    if session.__dict__.get("_warnings"):
        header["warnings"] = session.__dict__.pop("_warnings")
    names = ("task", "execution", "context", "result")
    values = {name: getattr(session, name) for name in names if name not in left_out}
    session._sent = {name: header[name] for name in headers.KEPT}
    return members.members_of(header, values, session.serializer, str(session.task))


def unpack(
    session: Any, saved: Saved, sent: Any, get_configuration: Callable[[Optional[str]], Any]
) -> None:
    """Does what `Session.restore` does, and accepts only the session `sent`, if one is given."""
    header = saved.header
    if modules.signed_by is not None and sent is None:
        members.check_is_sealed(saved, modules.signed_by)
    is_first = callers.note(header["callers"])
    # Nothing that is signed has an effect before it is verified, but for the names of the
    # modules that have the key: variables could say what that is.
    if saved.seal is None and sent is None:
        _take_over(header, is_first)
    if sent is None:
        if header["main"] is not None:
            modules.adopt_main(header["main"])
        configuration = get_configuration(header["configuration"])
    else:
        configuration = sent._known_configuration()
    members.verify(saved, configuration.serializer)
    if sent is not None:
        headers.check_returned(header, sent._sent, str(sent.task))
    if saved.seal is not None or sent is not None:
        _take_over(header, is_first)
    # An executor may run a session in the process that made it, whose classes it is not to change.
    is_back = sent is not None or callers.is_of_this_process(header["nonce"])
    goes_on = not is_back and (modules.is_far_end or callers.is_in_worker.get())
    with crossing() if is_back else contextlib.nullcontext():
        values = members.load(saved, configuration.serializer, goes_on)
    for value, why in header["left_out"].items():
        if why == headers.NEW:
            values[value] = Context() if value == "context" else None
        elif sent is not None:
            values[value] = getattr(sent, value)
        else:
            raise SessionFileError(f"A session file leaves out the {value}, which it needs.")
    moderator = _Moderator.deserialize(header["moderator"])
    moderator.advice_chain = configuration.get_advice_chain(header["advice_chain"])
    advices = moderator.advice_chain
    if isinstance(advices, tuple) and moderator.before_called > len(advices):
        import platform

        raise SessionFileError(
            f"The chain {header['advice_chain']!r} of {header['configuration']} has "
            f"{len(advices)} advices on {platform.node()}, and {moderator.before_called} were "
            "called already where the session comes from. A configuration has to be the same in "
            "all processes. If it asks for an environment variable, set that for the other one "
            "with Interpreter.set_environment()."
        )
    if session._walk is not None:
        moderator.take_over(session._walk)
    session.task, session.execution = values["task"], values["execution"]
    session.context, session.result = values["context"], values["result"]
    if isinstance(session.task, Task) and isinstance(session.execution, Execution):
        session.execution.of_task(session.task)
        session.task._configuration = configuration
    session.configuration, session.advice_chain = configuration, header["advice_chain"]
    session._nonce = header["nonce"]
    session._ids = header["ids"]
    session._code = header["code"]
    if sent is None and session._code["values"]:
        _Moderator.is_told = True
    session.facts.update(header.get("facts", {}))
    session._moderator = moderator


def go_on_with(session: Any, moderator: _Moderator, place: int) -> None:
    """Has a session go on where it came to in the other process."""
    left = moderator.before_called - moderator.after_called - moderator._left_out
    if not (moderator.task_called and left == place - 1) and not moderator.is_finished:
        raise session.stopped_short(moderator, " in the other process")
    moderator.take_over(session._moderator)
    session._moderator = moderator


def _take_over(header: Mapping[str, Any], is_first: bool) -> None:
    if is_first:
        modules.set_variables(header["environment"])
    if modules.is_far_end:
        if take_warnings is not None:
            take_warnings(header.get("warnings", {}))
        callers.inherit(header["computing"])
