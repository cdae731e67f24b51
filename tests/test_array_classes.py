"""Arrays of derived classes: what they count by, and what of them arrives."""

import copyreg
import io
import pickle
import threading

import pytest

import bandsaw
from bandsaw.errors import IdentityError
from bandsaw.fingerprint import digest_of_value as digest

np = pytest.importorskip("numpy")


class Noted(np.ndarray):
    """Has attributes that numpy does not pickle, and gives its own kind for any view."""

    def __new__(cls, data, note=None):
        made = np.asarray(data).view(cls)
        made.note = note
        return made

    def view(self, *args):
        return np.ndarray.view(self, Noted)


class Column(np.ndarray):
    """Says by `__reduce__` what of it counts."""

    def __new__(cls, data, unit=None):
        made = np.asarray(data).view(cls)
        made.unit, made.table = unit, None
        return made

    def __reduce__(self):
        function, args, state = super().__reduce__()
        return function, args, (*state, (self.unit,))

    def __setstate__(self, state):
        super().__setstate__(state[:5])
        (self.unit,) = state[5]


class MaskedColumn(np.ma.MaskedArray):
    def __new__(cls, data, mask, unit=None, dtype=None):
        made = np.ma.masked_array(data, mask=mask, dtype=dtype).view(cls)
        made.unit = unit
        return made

    def __reduce__(self):
        function, args, state = super().__reduce__()
        return function, args, (*state, (self.unit,))

    def __setstate__(self, state):
        super().__setstate__(state[:7])
        (self.unit,) = state[7]


class Made(Column):
    def __reduce__(self):
        return Made, (np.array(self), self.unit)


class Unwritable(Column):
    def __reduce__(self):
        raise ValueError("no way")


class ManyParts(Column):
    def __reduce__(self):
        return make, (np.array(self), self.unit, 1, 2, 3)


def make(data, unit, *numbers):
    return ManyParts(data, unit)


class Registered(np.ndarray):
    pass


copyreg.pickle(Registered, lambda value: (Registered.__new__, (Registered, (len(value),))))


def arrived(value):
    stream = io.BytesIO()
    bandsaw.PickleSerializer().serialize(value, stream)
    return bandsaw.PickleSerializer().deserialize(io.BytesIO(stream.getvalue()))


def test_arrays_count_by_what_their_class_pickles():
    column = Column([1.0, 2.0], "m")
    before = digest(column)
    column.table = (value for value in ())  # has no canonical form
    assert digest(column) == before == digest(pickle.loads(pickle.dumps(column)))
    found = [
        column, Column([1.0, 2.0], "s"), Column([1.0, 3.0], "m"), Column([[1.0, 2.0]], "m"),
        Made([1.0], "m"), Made([1.0], "s"), Made([2.0], "m"),
        ManyParts([1.0], "m"), ManyParts([1.0], "s"), ManyParts([2.0], "m"),
    ]  # fmt: skip
    assert len({digest(value) for value in found}) == len(found)
    square = np.arange(4.0).reshape(2, 2)
    assert digest(Column(square.T)) == digest(Column(square.T.copy()))


def test_an_array_that_does_not_pickle_is_named():
    with pytest.raises(IdentityError, match="no way"):
        digest(Unwritable([1.0]))


def test_masked_arrays_count_by_their_attributes_and_how_hard_the_mask_is():
    column = MaskedColumn([1.0, 2.0], [0, 1], "m")
    beneath = MaskedColumn([1.0, 5.0], [0, 1], "m")
    assert digest(column) == digest(beneath) == digest(arrived(column))
    plain, hard, noted = (np.ma.masked_array([1.0, 2.0], mask=[0, 1]) for _ in range(3))
    hard.harden_mask()
    noted.note = "calibrated"
    found = [
        column, MaskedColumn([1.0, 2.0], [0, 1], "s"), MaskedColumn([1.0, 2.0], [1, 0], "m"),
        plain, hard, noted, np.ma.masked,
    ]  # fmt: skip
    assert len({digest(value) for value in found}) == len(found)
    assert arrived(np.ma.masked) is np.ma.masked


def test_an_array_whose_views_are_of_its_own_class_has_an_id():
    assert digest(Noted([1, 2], "a")) != digest(Noted([1, 2], "b"))


def test_attributes_of_arrays_arrive():
    value = arrived([Noted([[1, 2]], note={"unit": "m"}), Noted([3])])
    assert (
        value[0].note == {"unit": "m"} and type(value[0]) is Noted and value[0].tolist() == [[1, 2]]
    )
    value = Noted([5], note="own")
    value.lock = threading.Lock()  # what does not pickle stays here
    assert vars(arrived(value)) == {"note": "own"}
    registered = np.zeros(2).view(Registered)
    registered.note = "left out by its own way to pickle"
    assert vars(arrived(registered)) == {}
    masked = np.ma.masked_array([1.0, 2.0], mask=[0, 1], hard_mask=True)
    masked.note = "calibrated"
    back = arrived(masked)
    assert back.hardmask and back.note == "calibrated" and back.mask.tolist() == [False, True]
    assert digest(back) == digest(masked)
