"""Serializers: how values become bytes and come back."""

from .json import JsonSerializer
from .pickle import PickleSerializer
from .serializer import Serializer
from .values import SerializableValue

__all__ = ["JsonSerializer", "PickleSerializer", "SerializableValue", "Serializer"]
