"""Serialized values and sessions that are changed at random, and read.

Each makes a value or a typed error of bandsaw. Nothing is imported, run, written or connected to
meanwhile, and no signed pickle that was changed is unpickled. The one thing that a session names
and that is not looked at here is its configuration: a module that the far end imports.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import traceback
import zoneinfo
from pathlib import Path
from unittest import mock

import bandsaw
from bandsaw.errors import BandsawError, ConfigurationNotFoundError, SignatureError
from bandsaw.serialization import _pickling
from bandsaw.session import Session

from . import serialization_audit as audit
from . import serialization_mutants as mutants
from . import serialization_values as values

ROOT = Path(__file__).parents[2]
SIGNED = bandsaw.PickleSerializer(key=values.KEY)
CONFIGURATIONS = {
    "tests.faults.json": values.configuration("tests.faults.json", bandsaw.JsonSerializer()),
    "tests.faults.signed": values.configuration("tests.faults.signed", SIGNED),
}


def configuration_of(name):
    """Stands for the import of a configuration."""
    if name not in CONFIGURATIONS:
        raise ConfigurationNotFoundError(f"No module named {name!r}")
    return CONFIGURATIONS[name]


def read_json(data):
    """Reads a JSON text."""
    return bandsaw.JsonSerializer().deserialize(io.BytesIO(data))


def read_signed(data):
    """Reads a signed pickle."""
    return SIGNED.deserialize(io.BytesIO(data))


def read_session(data):
    """Reads the file of a session."""
    return Session().restore(io.BytesIO(data))


class Watched:
    """Notes what is unpickled, unless it is a whole payload that was signed."""

    def __init__(self):
        self.genuine = None
        self.unpickled = _pickling.unpickled

    def __call__(self, stream, buffers=()):
        if self.genuine is not None and stream.getvalue() not in self.genuine:
            audit.seen.append(f"unpickled: {stream.getvalue()[:200]!r}")
            return None
        return self.unpickled(stream, buffers)


def payloads_of(known):
    """Returns the payloads in signed data and sessions."""
    found = set()
    for name, (whole, _, _) in known.items():
        if "signed" in name:
            for data in whole:
                members = mutants.members_of(data) if "sessions" in name else [("", data)]
                # The payload follows the mark, the signature and the length.
                found.update(content[24 + 32 + 8 :] for _, content in members)
    return found


def read_signed_session(data):
    """Reads a signed session, which is one of those that were written or none."""
    session = read_session(data)
    assert sorted(mutants.members_of(data)) in WHOLE, "a changed session was read"
    return session


WHOLE = []


def kinds():
    """Returns what there is: the whole data, how it is changed, how it is read, by name."""
    session = [
        values.sessions(CONFIGURATIONS[f"tests.faults.{name}"]) for name in ("json", "signed")
    ]
    WHOLE.extend(sorted(mutants.members_of(data)) for data in session[1])
    text = values.written(bandsaw.JsonSerializer())
    return {
        "JSON, bytes": (text, mutants.of_bytes, read_json),
        "JSON, structure": (text, mutants.of_json, read_json),
        "JSON sessions, bytes": (session[0], mutants.of_bytes, read_session),
        "JSON sessions, structure": (session[0], mutants.of_zip, read_session),
        "signed pickles, bytes": (values.written(SIGNED), mutants.of_bytes, read_signed),
        "signed sessions, bytes": (session[1], mutants.of_bytes, read_signed_session),
        "signed sessions, structure": (session[1], mutants.of_zip, read_signed_session),
    }


def warm_up(known):
    """Has everything loaded that reading whole data loads."""
    from bandsaw.serialization import _numpy, _tables  # noqa: F401

    for table in (_tables.BuiltinSerializer, _tables.StandardSerializer):
        for name in table.kinds:
            importlib.import_module(name.rpartition(".")[0])
    for name in ("importlib.resources", "encodings.idna", "bandsaw._process_errors", "numpy"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    # Where there is no such zone, zoneinfo looks into the package tzdata.
    for folder in {key.rpartition("/")[0] for key in zoneinfo.available_timezones()}:
        try:
            zoneinfo.ZoneInfo(f"{folder}/nothing".lstrip("/"))
        except zoneinfo.ZoneInfoNotFoundError:
            continue
    unknown = {"shapes": [{"module": "nothing_of_that_name", "type": "A", "message": ""}]}
    unknown["contents"] = [{"args": [], "state": {}, "fields": {}, "suppress": False, "links": []}]
    read_json(json.dumps({"_serializer": "ExceptionSerializer", "value": unknown}).encode())
    for whole, _, read in known.values():
        for data in whole:
            read(data)
    for data in (b"", b"[" * 10**5, b'{"_serializer":"x","value":1}', b"\xff", b"9" * 5000):
        for read in (read_json, read_session, read_signed):
            try:
                read(data)
            except BandsawError:
                continue


def look(name, whole, change, read, count, dice, figures):
    """Reads mutants."""
    for _ in range(count):
        data = change(dice, dice.choice(whole), whole)
        audit.seen.clear()
        audit.is_watching = True
        sort = "wrong"
        try:
            read(data)
        except BandsawError as error:
            if "signed pickles" in name and not isinstance(error, SignatureError):
                audit.seen.append(f"{type(error).__name__} where the signature has to be the error")
        except BaseException:
            audit.is_watching = False
            sort = "untyped"
            audit.seen.append(traceback.format_exc(limit=-4))
        audit.is_watching = False
        if audit.seen:
            figures.fault(sort, f"{name}: {data[:300]!r}\n" + "\n".join(audit.seen))
    figures.calls += count
    figures.inject(f"changed: {name}", count)


def run(dice, figures, directory, mutants=400):
    """Reads mutants of each kind. The audit hook is added for good."""
    known = kinds()
    watched = Watched()
    configurations = mock.patch("bandsaw.session.get_configuration", configuration_of)
    unpickling = mock.patch("bandsaw.serialization._pickling.unpickled", watched)
    with configurations, unpickling:
        warm_up(known)
        watched.genuine = payloads_of(known)
        audit.watch([ROOT, sys.prefix, sys.base_prefix, *zoneinfo.TZPATH])
        for name, parts in known.items():
            look(name, *parts, mutants, dice, figures)
