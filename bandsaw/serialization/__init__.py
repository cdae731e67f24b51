"""Serializers: how values become bytes and come back.

JsonSerializer ── values, _tables, _class_values, _numpy, _pandas ──► _json_encoder ──► text
               ◄── the same ◄── _json_decoder ◄── limits ◄── text
PickleSerializer ── _pickling, _out_of_band ──► _signing, if there is a key ──► bytes, and back
Both write exceptions with _exceptions, and find classes by name with _classes.
"""

from .json import JsonSerializer
from .pickle import PickleSerializer
from .serializer import Serializer
from .values import SerializableValue

__all__ = ["JsonSerializer", "PickleSerializer", "SerializableValue", "Serializer"]
