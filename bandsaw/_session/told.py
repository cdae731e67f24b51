"""Walks of which extensions are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ..result import Result

# In a process that sends no messages: takes what a session says of warnings.
take_warnings: Optional[Callable[[Mapping[str, Any]], None]] = None


def told(session: Any, configuration: Any) -> Result:
    """Walks the chain of a session, and tells the extensions before and after."""
    extensions = configuration.extensions
    for extension in extensions:
        extension.on_before_advice(session.task, session.execution, session.context)
    begun = []
    error = None
    try:
        for extension in extensions:
            # An extension of the user's own may be older than this method.
            if hasattr(extension, "on_call_begun"):
                begun.append(extension)
                extension.on_call_begun(session)
        result: Result = session._walked(configuration)
        for extension in extensions:
            extension.on_after_advice(session.task, session.execution, session.context, result)
        return result
    except BaseException as raised:
        error = raised
        raise
    finally:
        for extension in begun:
            if hasattr(extension, "on_call_ended"):
                extension.on_call_ended(session, error)
        error = None


def proceed(session: Any) -> None:
    """Goes on with a session that came from another process, and tells the extensions."""
    resumed = []
    nonce = getattr(session, "nonce", None)
    try:
        # Who takes the steps by hand may have a session of another kind.
        for extension in getattr(getattr(session, "configuration", None), "extensions", ()):
            if hasattr(extension, "on_call_resumed"):
                resumed.append(extension)
                extension.on_call_resumed(session)
        session.proceed()
    finally:
        for extension in resumed:
            if hasattr(extension, "on_call_left"):
                extension.on_call_left(session)
    if nonce is not None:
        # By which the other side knows it, however often it was tried.
        session._nonce = nonce
