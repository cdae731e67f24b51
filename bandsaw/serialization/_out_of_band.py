"""What travels beside pickled data: the buffers of arrays, and of large tensors of PyTorch.

Attributes of arrays of derived classes travel, too: numpy leaves them out.

A tensor itself pickles as bytes that are copied three times, with all of the memory that it is a
part of.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Callable, Optional

from .._system.buffers import has_elements, memory_at
from .._system.importing import late_import

# From this size on; smaller ones pickle as PyTorch has it.
_LARGE = 1 << 16


def dispatch_table() -> Optional[Mapping[type, Callable[[Any], Any]]]:
    """Returns the table of a pickler that writes tensors; `None` where there can be none."""
    torch: Any = sys.modules.get("torch")
    tensor: Any = getattr(torch, "Tensor", None)
    if not hasattr(tensor, "untyped_storage"):
        return None  # none, or an old version
    return {**copyreg.dispatch_table, tensor: functools.partial(_reduced, torch)}


def is_array(owner: Any) -> bool:
    """Says whether what has a buffer is an array, or the memory of a tensor, see `memory_at`."""
    numpy: Any = sys.modules.get("numpy")
    arrow: Any = sys.modules.get("pyarrow")
    tensor: Any = getattr(sys.modules.get("torch"), "Tensor", None)
    return (
        (numpy is not None and isinstance(owner, numpy.ndarray))
        or (arrow is not None and isinstance(owner, arrow.Buffer))
        or (isinstance(tensor, type) and isinstance(getattr(owner, "owner", None), tensor))
    )


def reduced_array(value: Any) -> Any:
    """Returns what an array of NumPy with attributes is pickled as.

    `NotImplemented` for one that has none, or whose class says itself how it pickles.
    """
    numpy: Any = sys.modules["numpy"]
    kind = type(value)
    if kind is numpy.ndarray or kind in copyreg.dispatch_table or value is numpy.ma.masked:
        return NotImplemented
    with late_import:
        from .._identity.bulk_data import attributes_of_array, says_more

    if says_more(kind):
        return NotImplemented
    # What does not pickle stays here, as numpy has it of all.
    held = attributes_of_array(numpy, value)
    attributes = {name: each for name, each in held.items() if _pickles(each)}
    if not attributes:
        return NotImplemented
    function, args, elements = value.__reduce__()
    return function, args, (elements, attributes), None, None, fill_array


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return False
    return True


def fill_array(array: Any, content: tuple[Any, dict[str, Any]]) -> None:
    """Gives an array its elements and attributes."""
    elements, attributes = content
    array.__setstate__(elements)
    vars(array).update(attributes)


def _reduced(torch: Any, value: Any) -> Any:
    # PyTorch itself would write all of the memory that a tensor is a part of.
    if not _is_plain(torch, value) or value.untyped_storage().nbytes() < _LARGE:
        return value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    size = value.numel() * value.element_size()
    memory = memory_at(value.data_ptr(), size, value).obj
    return tensor_of, (pickle.PickleBuffer(memory), value.dtype, tuple(value.shape))


def _is_plain(torch: Any, value: Any) -> bool:
    return bool(
        has_elements(torch, value)
        and value.device.type == "cpu"
        and value.numel()
        # Where a dimension is 1, others than these are contiguous, too.
        and value.stride() == torch.empty(value.shape, device="meta").stride()
        and not (value.requires_grad or value.is_conj() or value.is_neg() or vars(value))
    )


def tensor_of(buffer: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Makes a tensor over a buffer. Tensors are never read-only: of such a buffer it is a copy."""
    torch: Any = import_module("torch")
    writable = bytearray(buffer) if memoryview(buffer).readonly else buffer
    return torch.frombuffer(writable, dtype=dtype).reshape(shape)
