"""Tensors: of a stand-in for PyTorch, and of PyTorch where it is installed."""

import subprocess
import sys

import pytest

from bandsaw.fingerprint import digest_of_value as digest

# What its tensors pickle as says where they lie in memory.
STAND_IN = """
import ctypes, sys, types

strided, sparse = "strided", "sparse"
nn = types.SimpleNamespace(Parameter=type("Parameter", (), {}))


class UntypedStorage:
    def __init__(self, data):
        self._memory = (ctypes.c_ubyte * len(data)).from_buffer_copy(data)

    def data_ptr(self):
        return ctypes.addressof(self._memory)

    def nbytes(self):
        return len(self._memory)

    def cpu(self):
        return self

    def __reduce__(self):
        return UntypedStorage, (bytes(self._memory), str(self.data_ptr()))


class Tensor(UntypedStorage):
    dtype, shape, layout, is_quantized, is_nested = "torch.uint8", (2, 2), strided, False, False
    requires_grad = False
    device = types.SimpleNamespace(type="cpu")

    def detach(self):
        return self

    resolve_conj = resolve_neg = contiguous = detach

    def numel(self):
        return self.nbytes()

    def element_size(self):
        return 1


class TypedStorage:
    def __init__(self, data, dtype):
        self.dtype, self._untyped_storage = dtype, UntypedStorage(data)


storage = sys.modules[f"{__name__}.storage"] = types.SimpleNamespace(TypedStorage=TypedStorage)
"""


def test_tensors_count_by_their_elements_and_not_by_where_they_lie(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    import torch

    try:
        assert torch.__file__ == str(tmp_path / "torch.py")
        for kind in (torch.Tensor, torch.UntypedStorage):
            small, large = b"1234", b"1234" * 1000
            assert digest(kind(small)) == digest(kind(small)) != digest(kind(b"1235"))
            assert digest(kind(large)) == digest(kind(large)) != digest(kind(large[1:]))
            assert digest(kind(b"")) == digest(kind(b""))
        typed = torch.TypedStorage
        assert digest(typed(b"1234", "int8")) == digest(typed(b"1234", "int8"))
        assert digest(typed(b"1234", "int8")) != digest(typed(b"1234", "uint8"))
        found = [torch.Tensor(b"1234") for _ in range(5)]
        found[1].dtype, found[2].shape, found[3].requires_grad = "torch.int8", (4,), True
        found[4].name = "x"
        assert len(set(map(digest, found))) == len(found)
    finally:
        for name in ("torch", "torch.storage"):
            sys.modules.pop(name, None)


def test_equal_tensors_of_pytorch_have_equal_ids_and_others_have_others():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    one = torch.arange(12.0).reshape(3, 4)
    for other in (one.clone(), torch.cat([one, one])[:3], one.t().contiguous().t()):
        assert digest(other) == digest(one)
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    found = [
        one, one + 1, one.t(), one.double(), one.bfloat16(), one.reshape(4, 3), one.to_sparse(),
        one.clone().requires_grad_(), torch.nn.Parameter(one), one > 3, torch.empty(0), one + 1j,
        (one + 1j).conj(), one.untyped_storage(), torch.tensor(3.0), one.to("meta"), layer,
        torch.nn.Linear(2, 2), torch.optim.SGD(layer.parameters(), 0.1),
        torch.optim.SGD(layer.parameters(), 0.2), torch.Generator().manual_seed(1),
        torch.Generator().manual_seed(2), layer.state_dict(), torch.float32, torch.device("cpu"),
    ]  # fmt: skip
    assert len(set(map(digest, found))) == len(found)


def test_ids_of_modules_of_pytorch_are_the_same_in_another_process(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    program = (
        "import torch; from bandsaw.fingerprint import digest_of_value as digest\n"
        "torch.manual_seed(0); layer = torch.nn.LSTM(3, 4)\n"
        "print(digest([layer, torch.optim.Adam(layer.parameters())]).hex())\n"
    )
    ids = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(ids) == 1
