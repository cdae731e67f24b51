"""Tracing: spans of OpenTelemetry for calls, wherever they run."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from typing import Any, Optional

from ._session import telling
from ._tracebacks import message_of
from .errors import InvalidValueError
from .extensions import Extension

__all__ = ["Tracing"]

# Where the context of a trace stands in that of a session, as the W3C names it.
_CARRIER = "traceparent"
_SCOPE = "bandsaw"


class Tracing(Extension):
    """Makes a span of OpenTelemetry for each call.

    The span of a call is a child of the one that is current in the caller. In the task it is the
    current one, also in another process and on another machine: spans that a task makes are its
    children. Where the task runs, the program sets up the SDK as it does elsewhere, for example in
    the configuration module, or by the variables `OTEL_...`. Needs `opentelemetry-api`
    (`pip install 'bandsaw[tracing]'`).

    Args:
        tracer_provider: What makes the tracer, by default the one that is set globally.

    Raises:
        InvalidValueError: If `opentelemetry` is not installed (a `ValueError`).
    """

    def __init__(self, tracer_provider: Any = None) -> None:
        try:
            importlib.import_module("opentelemetry.trace")
        except ImportError as error:
            raise InvalidValueError(
                "Tracing needs opentelemetry-api: pip install 'bandsaw[tracing]'."
            ) from error
        self._provider = tracer_provider

    def on_init(self, configuration: Any) -> None:
        """Has it be noted where calls run and what they cost. See `Extension.on_init`."""
        telling.want()

    def on_call_begun(self, session: Any) -> None:
        """Begins the span, and has the trace go along. See `Extension.on_call_begun`."""
        api: Any = importlib.import_module("opentelemetry")
        trace: Any = importlib.import_module("opentelemetry.trace")
        tracer = trace.get_tracer(_SCOPE, tracer_provider=self._provider)
        span = tracer.start_span(
            str(session.task),
            attributes={
                "code.function.name": str(session.task),
                "bandsaw.chain": session.advice_chain,
                "process.pid": os.getpid(),
                "host.name": socket.gethostname(),
            },
        )
        context = trace.set_span_in_context(span)
        token = api.context.attach(context)
        carrier: dict[str, str] = {}
        _propagator().inject(carrier, context)
        if carrier:
            session.context[_CARRIER] = carrier
        session.__dict__.setdefault("_spans", {})[id(self)] = span, token

    def on_call_ended(self, session: Any, error: Optional[BaseException]) -> None:
        """Ends the span. See `Extension.on_call_ended`."""
        api: Any = importlib.import_module("opentelemetry")
        trace: Any = importlib.import_module("opentelemetry.trace")
        span, token = session.__dict__.get("_spans", {}).pop(id(self), (None, None))
        if span is None:
            return
        api.context.detach(token)
        if error is None:
            error = getattr(session.result, "exception", None)
        for name, value in session.facts.items():
            if isinstance(value, (str, int, float, bool)):
                span.set_attribute(f"bandsaw.{name}", value)
        if error is not None:
            # What an error says of itself may fail, and must not take its place.
            with contextlib.suppress(Exception):
                span.record_exception(error)
            told = f"{type(error).__name__}: {message_of(error)}"
            span.set_status(trace.Status(trace.StatusCode.ERROR, told))
        span.end()

    def on_call_resumed(self, session: Any) -> None:
        """Has the span of the call be the current one here. See `Extension.on_call_resumed`."""
        api: Any = importlib.import_module("opentelemetry")
        carrier = session.context.get(_CARRIER)
        if isinstance(carrier, dict):
            context = _propagator().extract(carrier)
            session.__dict__.setdefault("_tokens", {})[id(self)] = api.context.attach(context)

    def on_call_left(self, session: Any) -> None:
        """Takes it back, and has what was made here exported. See `Extension.on_call_left`."""
        api: Any = importlib.import_module("opentelemetry")
        trace: Any = importlib.import_module("opentelemetry.trace")
        token = session.__dict__.get("_tokens", {}).pop(id(self), None)
        if token is None:
            return
        api.context.detach(token)
        # The process may be ended at any time from now on.
        provider = self._provider or trace.get_tracer_provider()
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            flush()


def _propagator() -> Any:
    # The W3C's format, whatever the program uses with other services.
    module = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
    return module.TraceContextTextMapPropagator()
