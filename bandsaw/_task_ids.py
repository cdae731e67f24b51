"""The ids of a task and of its executions, and what they depend on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ._system.importing import late_import
from .errors import InvalidValueError
from .serialization.serializer import Serializer
from .serialization.values import ValueSerializer

if TYPE_CHECKING:
    from ._identity.arguments import Arguments
    from ._identity.carried import Carried
    from ._identity.watch import Watch


class Identified:
    """What a task has for the sake of its ids."""

    function: Any
    task_id: Any
    _task_id: Optional[str] = None
    _task_kwargs: Mapping[str, Any] = {}
    # Made when an id is first read.
    _arguments: Optional[Arguments] = None
    # An id that was derived, and what notices when code was reloaded. In one piece, for threads.
    _derived: Optional[tuple[str, Watch]] = None
    _was_another = False  # whether this process has changed the code since the id was first read
    # The configuration of the task in this process, where it has one.
    _configuration: Any = None

    def _write_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, bytes]:
        arguments = self._arguments or self._known_arguments()
        configuration = self._configuration
        if configuration is None:
            return arguments.write(args, kwargs)
        hook = _hook_of(getattr(configuration, "serializer", None))
        return arguments.write(args, kwargs, hook, getattr(configuration, "bulk_hash", None))

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._known_arguments().bind(tuple(args), kwargs)

    def _known_arguments(self) -> Arguments:
        if self._arguments is None:
            with late_import:
                from ._identity.arguments import Arguments
                from .fingerprint import digest_of_code

            self._arguments = Arguments(self.function, self._list_of("ignore"), digest_of_code)
        return self._arguments

    def _list_of(self, keyword: str) -> Sequence[Any]:
        value = self._task_kwargs.get(keyword, ())
        if not isinstance(value, (list, tuple)):
            raise InvalidValueError(
                f"Task {self}: {keyword}={value!r} has to be a list. Write @task({keyword}=[...])."
            )
        return value

    def _make_task_id(self) -> tuple[str, Watch]:
        with late_import:
            from .fingerprint import watched_task_id_of

        function = self.function
        return watched_task_id_of(
            function,
            function.__module__,
            function.__qualname__,
            version=self._task_kwargs.get("version"),
            depends=self._list_of("depends"),
            left_out=self._left_out(),
        )

    def _left_out(self) -> frozenset[str]:
        """The names of variables that do not count."""
        names = [name for name in self._list_of("state") if isinstance(name, str)]
        return frozenset([*names, *getattr(self._configuration, "_state", ())])

    def _changed_since_read(self) -> list[str]:
        """Names what has changed of the code since the id was read: it is that of other code."""
        derived = self._derived
        if derived is None or derived[1].is_current():
            return []
        return derived[1].settle()

    def _carried(self) -> Optional[Carried]:
        """Says what of the code another process may not have; `None` where no id was derived."""
        if self._derived is None:
            return None
        watch = self._derived[1]
        if watch.carried is None:
            with late_import:
                from ._identity.carried import carried_by

            watch.carried = carried_by(watch.seen)
        return watch.carried  # type: ignore[no-any-return]

    def _known_id(self) -> Optional[str]:
        """Returns the id if somebody has read it."""
        return self._task_id if self._derived is None else self.task_id


def _hook_of(serializer: Any) -> Any:
    """Finds what asks a serializer for canonical forms, if it would ever give one."""
    method = getattr(serializer, "canonical_form", None)
    base = getattr(method, "__func__", None)
    if base is Serializer.canonical_form:
        return None
    json: Any = sys.modules.get(f"{__package__}.serialization.json")
    if json is not None and base is json.JsonSerializer.canonical_form:
        own = (getattr(type(v), "canonical_form", None) for v in serializer.value_serializers)
        if all(form in (None, ValueSerializer.canonical_form) for form in own):
            return None
    return method
