"""Digests of values for the comparison of two processes that load the same files.

near: carried_by ─► digests of values
far:  ArrivedValues(code)  before the task runs: those that have another value there
      .differing()   after it: the same, and what the task changed that is no state of its code

Functions count by their own definition, with what they hold: other code is compared by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import FunctionType, ModuleType
from typing import Any, Optional, Union

from ..modules import main_module_name
from .canonical import Writer
from .definitions import definition_of
from .first_values import MISSING, content_of
from .firstparty import canonical_module_name, is_first_party
from .forms import PARTS, Form, Written, write_str
from .held_contents import base_of
from .kinds import attributes_of, is_a, is_task, module_of, name_of_module, qualname_of
from .stored import unwrapped
from .watch import Seen, Watch

_CODE = (FunctionType, type, ModuleType)
_CONTAINERS = (list, dict, set)
_NUMBERS = (bool, int, float, complex, type(None))


class _Compared(Writer):
    """Writes a value without what has no form, such as locks, and says whether byte code counts."""

    def __init__(self, seen: Seen) -> None:
        self.has_byte_code = False
        report = lambda frames, value, reason: None  # noqa: E731
        super().__init__(self._code, report=report, seen=seen)
        plain = self._leaf_of
        self._leaf_of = lambda kind: _write_text if kind is str else plain(kind)

    def _without_form(self, value: Any, error: Any) -> bytes:
        if not self.frames:
            raise error
        return b"?;"

    def _code(self, code: Any) -> Union[bytes, Form]:
        if is_a(code, FunctionType):
            home, own = str(code.__globals__.get("__name__")), code.__name__
            is_in_place = attributes_of(sys.modules.get(home)).get(own) is code
            if is_in_place and not is_first_party(home):
                # Another Python, or another version, has other code.
                return _form(_named(home, own), [])
            return self._function(code)
        held: list[Any] = []
        if is_a(code, type):
            name, module = qualname_of(code), canonical_module_name(module_of(code))
            if "<locals>" in name or (is_first_party(module_of(code)) and is_hidden(code)):
                # It has no place of its own: a call has made it, or something else has its name.
                for key, member in sorted(attributes_of(code).items()):
                    if key[:2] != "__" or any(is_a(e, FunctionType) for e in unwrapped(member)):
                        held += (key, member)
        else:
            name, module = canonical_module_name(name_of_module(code)), "None"
        return _form(_named(module, name), held)

    def _function(self, function: FunctionType) -> Union[bytes, Form]:
        if is_task(function):
            # What makes it a task knows the script by another name there.
            function = function.__dict__.get("__wrapped__", function)
        definition = definition_of(function)
        if not definition.is_by_source:
            self.has_byte_code = True
        if "registry" in function.__dict__ and not is_first_party(
            str(function.__globals__.get("__name__"))
        ):
            return _form(definition.digest, [dict(function.__dict__["registry"])])
        changes = definition.changes
        held: list[Any] = [function.__defaults__, function.__kwdefaults__]
        if held == [None, None]:
            held = []
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            value = content_of(cell)
            # What it sets or fills itself is state.
            if variable not in changes.enclosing and variable not in changes.names:
                if value is not MISSING and not is_a(value, _CODE):
                    held += (variable, value)
        namespace = function.__globals__
        home = sys.modules.get(str(namespace.get("__name__")))
        if home is None or attributes_of(home) is not namespace:
            # Nobody else comes to these.
            for use in definition.uses.names:
                value = namespace.get(use.chain[0], MISSING)
                if value is not MISSING and not is_a(value, _CODE):
                    held += (use.chain[0], value)
        return _form(definition.digest, held)


def _write_text(text: str) -> bytes:
    """Writes what may be made of `__name__`, which the script has as another one there."""
    if "_main__" in text:
        name = main_module_name() or "__main__"
        text = text.replace("__mp_main__", name).replace("__main__", name)
    return write_str(text)


def is_hidden(cls: type) -> bool:
    """Says whether its name stands for something else, as in `_P = namedtuple("P", "x y")`."""
    found: Any = sys.modules.get(module_of(cls))
    for name in qualname_of(cls).split("."):
        found = attributes_of(found).get(name)
    return found is not cls


def _named(module: str, name: str) -> bytes:
    return sha256(f"{module}.{name}".encode("utf-8", "surrogatepass")).digest()


def _form(digest: bytes, held: list[Any]) -> Union[bytes, Form]:
    written = b"c" + digest
    return Form(b"!held;", PARTS, (Written(written), *held)) if held else written


# Behind the digest of code that a decorator has made: no other Python can make the same.
MADE_ANEW = "!"
# In place of the digest of what its module says and does not have.
ABSENT = ""
_PYTHON = ":{}.{}".format(*sys.version_info)


def digest_of(value: Any, seen: Optional[Seen] = None) -> Optional[str]:
    writer = _Compared(seen or Seen())
    try:
        written = _write_text(value) if type(value) is str else writer.write(value)
    except Exception:
        return None
    # Byte code holds for one version of Python.
    return sha256(written).hexdigest()[:32] + (_PYTHON if writer.has_byte_code else "")


class ArrivedValues:
    """The values of which an id speaks, as they are in a process before it runs the task.

    What the task assigns or fills of its own state counts as it was before: for this call, and for
    the later ones of the process.
    """

    def __init__(self, code: Mapping[str, Any], is_same_machine: bool) -> None:
        self._values: Mapping[str, str] = code["values"]
        self._is_same_machine = is_same_machine
        # Of modules that are not loaded: the task may load them.
        self._left: dict[str, str] = {}
        seen = Seen()
        self._differing = list(self._compared(self._values, seen))
        seen.attributes.update(code.get("state", ()))
        self._watch = Watch(seen)

    def differing(self) -> list[str]:
        """Names the values that are others than where the session comes from."""
        left, self._left = self._left, {}
        self._differing += self._compared(left, Seen())
        if not self._watch.is_current() and self._watch.settle():
            self._differing += self._compared(self._values, Seen())
        return self._differing

    def _compared(self, values: Mapping[str, str], seen: Seen) -> Iterator[str]:
        for key, digest in values.items():
            module_name, _, name = key.partition(":")
            module = sys.modules.get(module_name)
            if module is None and module_name == main_module_name():
                module = sys.modules.get("__main__")
            if "__builtins__" not in attributes_of(module):
                self._left[key] = digest  # one that is not run here was of no use
                continue
            value: Any = module
            for each in name.split("."):
                owner, namespace = value, attributes_of(value)
                value = namespace.get(each, MISSING)
            if owner is not MISSING and (value is MISSING) != (digest == ABSENT):
                yield f"{module_name}.{name}"  # it was set or deleted elsewhere
            is_made = digest.endswith(MADE_ANEW)
            is_compared = is_made or self._is_same_machine or _is_same_elsewhere(value)
            if value is MISSING or digest == ABSENT or not is_compared:
                continue
            seen.name(namespace, each, value)
            if _is_other(digest_of(value, seen), digest):
                yield f"{module_name}.{name}"


def _is_other(ours: Optional[str], theirs: str) -> bool:
    if theirs.endswith(MADE_ANEW):
        return ours != theirs[: -len(MADE_ANEW)]
    if ours is None or ours == theirs:
        return False
    # Of two byte codes of different Pythons nothing can be told.
    return not (ours[32:] and theirs[32:]) or ours[32:] == theirs[32:]


def _is_same_elsewhere(value: Any) -> bool:
    """Says whether a value has to be the same on another machine, where text and paths need not."""
    if is_a(value, _CONTAINERS):
        base: Any = base_of(value)
        read: Any = dict.values if base is dict else base.__iter__
        inner = read(value)
        return all(is_a(each, (*_NUMBERS, FunctionType, type)) for each in inner)
    return is_a(value, _NUMBERS)
