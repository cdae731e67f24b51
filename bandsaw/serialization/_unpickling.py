"""Unpickling, with errors that say what is missing."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

from ..errors import DeserializationError, SignatureError
from ..modules import main_module_name
from ._signing import SIGNED_MODULE

# What a newer Python writes, and older ones could not find.
_MOVED = {"pathlib._local": "pathlib"}
_OURS = f"{__name__.partition('.')[0]}."
# Those that were asked for. One of them is in everything that is kept or sent.
_our_classes: dict[tuple[str, str], type] = {}


def unpickled(stream: BinaryIO, buffers: Sequence[Any] = ()) -> Any:
    """Unpickles a value.

    Args:
        stream: A binary stream that is open for reading.
        buffers: The buffers that are out of band.

    Returns:
        The value.

    Raises:
        SignatureError: If the data is signed.
        DeserializationError: If the data is damaged, or needs what is not to be had here.
    """
    try:
        return _Unpickler(stream, buffers=buffers).load()
    except DeserializationError:
        raise
    except EOFError as error:
        raise DeserializationError("The data ends in the middle of a value.") from error
    except Exception as error:
        raise DeserializationError(
            f"The data cannot be unpickled: {type(error).__name__}: {error}"
        ) from error


def find_global(module_name: str, name: str) -> Any:
    """Finds what was pickled under the name by which its script can be imported.

    Args:
        module_name: The import name of a script.
        name: The qualified name of a class or function in there.

    Returns:
        The class or function.
    """
    outermost, *inner = name.split(".")
    value = _Unpickler(io.BytesIO()).find_class(module_name, outermost)
    for part in inner:
        try:
            value = getattr(value, part)
        except AttributeError as error:
            raise DeserializationError(
                f"The data needs {module_name}.{name}, which is not to be had here: {error}. Is "
                "another version of the code in use at this end?"
            ) from error
    return value


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        ours = _our_classes.get((module_name, global_name))
        if ours is not None:
            return ours
        if module_name == SIGNED_MODULE:
            raise SignatureError(
                "The data is signed, and this serializer has no key to verify it with: give "
                "PickleSerializer(key=...) the key that it was signed with."
            )
        module_name = _MOVED.get(module_name, module_name)
        if module_name == main_module_name():
            module_name = "__main__"
        try:
            found = super().find_class(module_name, global_name)
            if isinstance(found, type) and found.__module__.startswith(_OURS):
                _our_classes[module_name, global_name] = found
            return found
        except ModuleNotFoundError as error:
            raise DeserializationError(
                f"The data needs {module_name}.{global_name}, but the module {error.name!r} is not "
                "to be had here. If it is part of your project, put it into the distribution "
                "archive with Configuration.add_modules_for_distribution; otherwise install it for "
                f"this Python ({sys.executable})."
            ) from error
        except (AttributeError, ImportError) as error:
            raise DeserializationError(
                f"The data needs {module_name}.{global_name}, which is not to be had here: "
                f"{error}. Is another version of the code in use at this end?"
            ) from error
