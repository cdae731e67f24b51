"""Tensors: of a stand-in for PyTorch, and of PyTorch where it is installed."""

import importlib
import io
import pickle
import subprocess
import sys

import pytest

from bandsaw import PickleSerializer
from bandsaw.errors import IdentityError, UnserializableError
from bandsaw.fingerprint import digest_of_value as digest
from bandsaw.tasks import Task

# What its tensors pickle as says where they lie in memory.
STAND_IN = """
import ctypes, sys, types

strided, sparse = "strided", "sparse"
nn = types.SimpleNamespace(Parameter=type("Parameter", (), {}))


memory = {}


class UntypedStorage:
    def __init__(self, data):
        memory[id(self)] = self, (ctypes.c_ubyte * len(data)).from_buffer_copy(data)

    def data_ptr(self):
        return ctypes.addressof(memory[id(self)][1])

    def nbytes(self):
        return len(memory[id(self)][1])

    def cpu(self):
        return self

    def __reduce__(self):
        return UntypedStorage, (bytes(memory[id(self)][1]), str(self.data_ptr()))


class Tensor(UntypedStorage):
    dtype, shape, layout, is_quantized, is_nested = "torch.uint8", (2, 2), strided, False, False
    requires_grad, is_leaf, grad = False, True, None
    device = types.SimpleNamespace(type="cpu")

    def detach(self):
        return self

    resolve_conj = resolve_neg = contiguous = untyped_storage = detach

    def is_contiguous(self):
        return True

    def is_conj(self):
        return False

    is_neg = _is_zerotensor = is_conj

    def stride(self):
        return 2, 1

    def reshape(self, shape):
        assert shape == self.shape
        return self

    def numel(self):
        return self.nbytes()

    def element_size(self):
        return 1


def empty(shape, device):
    return Tensor(b"")


def frombuffer(buffer, dtype):
    assert not memoryview(buffer).readonly
    return Tensor(bytes(buffer))


class TypedStorage:
    def __init__(self, data, dtype):
        self.dtype, self._untyped_storage = dtype, UntypedStorage(data)


storage = sys.modules[f"{__name__}.storage"] = types.SimpleNamespace(TypedStorage=TypedStorage)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    names = [name for name in sys.modules if name.partition(".")[0] == "torch"]
    known = {name: sys.modules.pop(name) for name in names}
    folder = tmp_path / "site-packages"  # as what is installed
    folder.mkdir()
    (folder / "torch.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("torch")
    for name in ("torch", "torch.storage"):
        del sys.modules[name]
    sys.modules.update(known)


def test_tensors_count_by_their_elements_and_not_by_where_they_lie(stand_in):
    torch = stand_in
    for kind in (torch.Tensor, torch.UntypedStorage):
        small, large = b"1234", b"1234" * 1000
        assert digest(kind(small)) == digest(kind(small)) != digest(kind(b"1235"))
        assert digest(kind(large)) == digest(kind(large)) != digest(kind(large[1:]))
        assert digest(kind(b"")) == digest(kind(b""))
    typed = torch.TypedStorage
    assert digest(typed(b"1234", "int8")) == digest(typed(b"1234", "int8"))
    assert digest(typed(b"1234", "int8")) != digest(typed(b"1234", "uint8"))
    found = [torch.Tensor(b"1234") for _ in range(6)]
    found[1].dtype, found[2].shape, found[3].requires_grad = "torch.int8", (4,), True
    found[4].name, found[5].grad = "x", stand_in.Tensor(b"4321")
    assert len(set(map(digest, found))) == len(found)


def test_a_large_tensor_travels_as_a_buffer_beside_the_data(stand_in):
    serializer = PickleSerializer()
    tensor = stand_in.Tensor(bytes(range(256)) * 1000)
    stream = io.BytesIO()
    buffers = serializer.serialize_with_buffers([tensor], stream)
    assert [buffer.nbytes for buffer in buffers] == [256_000]
    assert len(stream.getvalue()) < 1000
    for given in (bytearray(buffers[0]), bytes(buffers[0])):
        stream.seek(0)
        (found,) = serializer.deserialize_with_buffers(stream, [given])
        assert type(found) is stand_in.Tensor
        assert (digest(found), found.shape) == (digest(tensor), tensor.shape)
    in_band = io.BytesIO()
    serializer.serialize([tensor], in_band)
    in_band.seek(0)
    assert digest(serializer.deserialize(in_band)) == digest([tensor])


class Holder:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Holder, (pickle.PickleBuffer(self.data),)


@pytest.mark.parametrize(
    "data", [bytearray(100_000), bytes(100_000)], ids=["writable", "read-only"]
)
def test_a_large_buffer_of_any_class_can_be_written(data):
    stream = io.BytesIO()
    assert PickleSerializer().serialize_with_buffers(Holder(data), stream) == []
    stream.seek(0)
    found = PickleSerializer().deserialize_with_buffers(stream, []).data
    assert found == data
    assert type(found) is type(data)


class Fortran:
    """Holds a buffer whose first dimension is the one that runs fastest."""

    def __init__(self, view):
        self.view = view

    def __reduce_ex__(self, protocol):
        return bytes, (pickle.PickleBuffer(self.view),)


@pytest.mark.parametrize("size", [10, 1000])
def test_a_buffer_in_the_order_of_fortran_is_written_as_it_lies_in_memory(size):
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    array = numpy.arange(size * size, dtype="u4").reshape(size, size)
    serializer, stream = PickleSerializer(), io.BytesIO()
    serializer.serialize(Fortran(memoryview(array.T)), stream)
    stream.seek(0)
    assert serializer.deserialize(stream) == array.tobytes()


def test_tensors_of_pytorch_come_back_as_they_were():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    serializer, one = PickleSerializer(), torch.arange(100_000.0)
    for tensor in [
        one, one.reshape(100, 1000), one.reshape(100, 1000).t(), one.bfloat16(), one + 1j, one[::2],
        (one + 1j).conj(), one.clone().requires_grad_(), torch.nn.Parameter(one), one[:3], one > 3,
        one.reshape(10, 10, 10, 100).to(memory_format=torch.channels_last), torch.zeros(0, 5),
        torch.zeros(4, 1, 100, 200).to(memory_format=torch.channels_last),
    ]:  # fmt: skip
        stream = io.BytesIO()
        buffers = serializer.serialize_with_buffers(tensor, stream)
        stream.seek(0)
        found = serializer.deserialize_with_buffers(stream, [bytes(each) for each in buffers])
        assert digest(found) == digest(tensor)
        assert (type(found), found.stride()) == (type(tensor), tensor.stride())
        found.detach().zero_()  # of its own
        assert torch.equal(one, torch.arange(100_000.0))


def test_equal_tensors_of_pytorch_have_equal_ids_and_others_have_others():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    one = torch.arange(12.0).reshape(3, 4)
    for other in (one.clone(), torch.cat([one, one])[:3], one.t().contiguous().t()):
        assert digest(other) == digest(one)
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    retained = [one.clone().requires_grad_() * 1 for _ in range(2)]
    for number, each in enumerate(retained):
        each.retain_grad()
        (each * number).sum().backward()
    with_gradient = one.clone().requires_grad_()
    with_gradient.grad = one
    found = [
        with_gradient, *retained,
        one, one + 1, one.t(), one.double(), one.bfloat16(), one.reshape(4, 3), one.to_sparse(),
        one.clone().requires_grad_(), torch.nn.Parameter(one), one > 3, torch.empty(0), one + 1j,
        (one + 1j).conj(), one.untyped_storage(), torch.tensor(3.0), one.to("meta"), layer,
        torch.nn.Linear(2, 2), torch.optim.SGD(layer.parameters(), 0.1),
        torch.optim.SGD(layer.parameters(), 0.2), torch.Generator().manual_seed(1),
        torch.Generator().manual_seed(2), layer.state_dict(), torch.float32, torch.device("cpu"),
    ]  # fmt: skip
    assert len(set(map(digest, found))) == len(found)


def test_a_tensor_of_pytorch_without_memory_is_an_error():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    nothing = torch._efficientzerotensor(100_000)
    with pytest.raises(IdentityError, match="ZeroTensor"):
        digest(nothing)
    with pytest.raises(UnserializableError, match="ZeroTensor"):
        PickleSerializer().serialize(nothing, io.BytesIO())


weight = None


def weigh():
    return weight


def test_a_gradient_that_a_tensor_of_a_module_gets_is_noticed(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(sys.modules[__name__], "weight", torch.ones(2, requires_grad=True))
    task = Task.create_task(weigh)
    before = task.task_id
    weight.sum().backward()
    assert task.task_id != before


def test_a_tensor_that_a_transformation_of_pytorch_traces_is_an_error():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for transformed in (torch.vmap(digest), torch.func.grad(digest)):
        with pytest.raises(IdentityError, match=r"torch\.Tensor: RuntimeError"):
            transformed(torch.ones(3))


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
