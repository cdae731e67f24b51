"""Identifiers."""

import hashlib
import importlib

import pytest

import bandsaw.identifier
from bandsaw.errors import InvalidValueError
from bandsaw.identifier import identifier_from_bytes, identifier_from_string


@pytest.fixture
def reloaded(monkeypatch):
    def reload(length):
        monkeypatch.setenv("BANDSAW_ID_LENGTH", length)
        return importlib.reload(bandsaw.identifier)

    yield reload
    monkeypatch.undo()
    importlib.reload(bandsaw.identifier)


def test_an_identifier_is_the_start_of_the_sha256():
    assert identifier_from_string("null") == "74234e98afe7498f"
    assert identifier_from_bytes(b"null") == "74234e98afe7498f"
    assert identifier_from_bytes(memoryview(b"xnullx")[1:5]) == "74234e98afe7498f"


def test_a_string_counts_as_utf_8_and_may_hold_lone_surrogates():
    assert identifier_from_string("é") == identifier_from_bytes("é".encode())
    assert identifier_from_string("\ud800") == identifier_from_bytes(b"\xed\xa0\x80")


def test_the_length_is_what_the_environment_said_at_import(reloaded):
    module = reloaded("64")
    assert module.identifier_from_string("null") == hashlib.sha256(b"null").hexdigest()
    assert reloaded("5").identifier_from_string("null") == "74234"


@pytest.mark.parametrize("length", ["0", "65", "-3", "x", "1.5"])
def test_a_length_that_cannot_be_is_an_error_that_names_it(reloaded, length):
    with pytest.raises(InvalidValueError, match=f"BANDSAW_ID_LENGTH .*'{length}'"):
        reloaded(length)


@pytest.mark.parametrize("given", [b"null", None, 5])
def test_what_is_no_string_is_refused(given):
    with pytest.raises(InvalidValueError, match=f"a string, not of {given!r}"):
        identifier_from_string(given)


@pytest.mark.parametrize("given", ["null", None])
def test_what_is_no_buffer_is_refused(given):
    with pytest.raises(InvalidValueError, match=f"another buffer, not of {given!r}"):
        identifier_from_bytes(given)
