"""A `bandsaw.File` in JSON."""

from __future__ import annotations

from typing import Any

from .._file import Carrier, File
from ..errors import FileTravelError
from .values import ValueSerializer


class FileSerializer(ValueSerializer):
    """Writes how a file is to be made again: the name of a function of ours, and its arguments."""

    def can_serialize_value(self, value: Any) -> bool:
        return type(value) is File

    def serialize_value(self, value: Any) -> Any:
        function, args = value.__reduce__()
        return [function.__name__, *args]

    def deserialize_value(self, representation: Any) -> Any:
        from .._files import carrying, keeping

        carrier = Carrier.current()
        if carrier is not None and not carrier.takes_files:
            raise FileTravelError(
                "it has files, which are taken from others only if they are signed"
            )

        known = (
            *(File, carrying.came, carrying.came_along, carrying.delivered),
            *(carrying.arrived, keeping.kept),
        )
        functions: dict[str, Any] = {function.__name__: function for function in known}
        name, *args = representation
        return functions[name](*args)
