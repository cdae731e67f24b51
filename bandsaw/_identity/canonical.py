"""Digests of values that depend on nothing but type and value.

```
value -> open_form (objects) -> leaf: bytes
                            -> form: tag, kind, children -> each child in turn -> close -> bytes
                                                               cycle -> cycles
```

A value is written as the tree that it unfolds to: a type tag, a length, the children. Sets and
dicts are sorted by what their elements were written as. Whether two equal parts are one object or
two cannot be seen in the result. What would be longer than 256 bytes is replaced by its SHA-256 and
remembered, see `tree_writer`.

Cycles: the objects of a cycle are numbered in the order in which a walk first comes to them, so
sharing can be seen there. Elements of a set have no order: a cycle through a set is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Optional, Union

from .._system.importing import late_import
from .addresses import Living, without_process
from .forms import (
    FIELDS,
    LEAVES,
    LONGEST_INLINE,
    MAP,
    PARTS,
    SEQUENCE,
    SET,
    Fields,
    Form,
    NoForm,
    OpenForm,
    inline,
    opaque,
)
from .held_contents import MOST_BYTES, MOST_ELEMENTS
from .kinds import by_kind, is_a, name_of
from .objects import open_form
from .safe_opening import open_carefully, open_noted
from .stored import is_of_the_user
from .tree_writer import TreeWriter
from .watch import Seen

if TYPE_CHECKING:
    from ..errors import IdentityError

ABOUT_FUTURES = (
    "a future stands for its value in the arguments of submit() and map() only. Submit this call, "
    "too, or pass the future's result()"
)
# The tag of what a hook gave, and how many levels deep it may lie: it may give something new of the
# same kind every time.
HOOKED = b"!hook;"
DEEPEST_HOOKED = 10_000
WITHOUT_FORM = "has no canonical form"

CodeForm = Callable[[Any], Union[bytes, Form]]
Reporter = Callable[[list[OpenForm], Any, str], None]
Hook = Callable[[Any], Any]


def digest_of_value(
    value: Any,
    function_digest: Callable[[Any], bytes],
    *,
    name: str = "value",
    hook: Optional[Hook] = None,
    bulk_hash: Optional[str] = None,
) -> bytes:
    """Digests a value: equal in type and value at every depth means equal digests.

    NaN equals itself. `0.0` and `-0.0`, `1`, `1.0` and `True` are different. The arrays of numpy
    count by dtype, shape and the bytes of their elements in C order, so the payload of a NaN
    counts in them.

    `function_digest`: digests functions and classes that are first-party. Returns 32 bytes. They
    say nothing about identity or memory addresses, and are the same in every process, on every
    platform and Python version.
    """
    writer = Writer(as_leaf(function_digest), name=name, hook=hook, bulk_hash=bulk_hash)
    return sha256(writer.write(value)).digest()


def as_leaf(function_digest: Callable[[Any], bytes]) -> CodeForm:
    return lambda code: b"c" + function_digest(code)


class Writer(TreeWriter):
    """Writes values canonically; see the module.

    `report`: is told of values without a form: the frames, the value and the reason. They count by
    their type then. Without it they are an `IdentityError`.
    """

    def __init__(
        self,
        code_form: CodeForm,
        *,
        name: str = "value",
        hook: Optional[Hook] = None,
        bulk_hash: Optional[str] = None,
        report: Optional[Reporter] = None,
        seen: Optional[Seen] = None,
    ) -> None:
        self.code_form = code_form
        self.hook = hook
        self.bulk_hash = bulk_hash
        self._name = name
        self._report = report
        self._seen = seen
        self._living = Living()
        self.read_whole: set[int] = set()  # the identities of objects that are compared as a whole
        self.bulk = 0  # so many bytes of arrays and the like were written
        # Nothing of the user's may run for what code reaches.
        self.is_careful = seen is not None
        # A small function that many reach is not read for each of them.
        super().__init__(_leaf_of if self.is_careful else LEAVES.get, self.is_careful)

    def write(self, value: Any) -> bytes:
        """Returns the canonical form of a value, its digest where that is longer than 256 bytes."""
        if _leaf_of(type(value)) is not None:
            return LEAVES[type(value)](value)
        try:
            first = self.enter(value)
            if not is_a(first, OpenForm):
                return first
            result = self.walk()
        except RecursionError as error:
            from ..errors import IdentityError

            raise IdentityError(f"{self.path()} is nested too deeply for an id") from error
        return result

    def enter(self, value: Any) -> Union[bytes, OpenForm]:
        try:
            if self._seen is not None:
                form = self._open_part(value, self._seen)
            else:
                form = open_form(value, self)
                if type(value) is Fields:
                    form = without_process(value, form, self.frames, self._living)
        except NoForm as error:
            return self._without_form(value, error)
        except Exception as error:
            foreign = self._foreign(error)
            if foreign is None:
                raise
            return self._without_form(value, foreign)
        if not is_a(form, bytes):
            return self.push(value, form)
        if len(form) > LONGEST_INLINE:
            form = inline(form)
            self.done[id(value)] = value, form
        return form

    def _open_part(self, value: Any, seen: Seen) -> Union[bytes, Form]:
        return open_noted(value, self, seen)

    def _foreign(self, error: Exception) -> Optional[NoForm]:
        """Says what an error means that a value has raised; `None` if it is to be raised."""
        from ..errors import BandsawError

        passed = (RecursionError, MemoryError, Warning, BandsawError)
        if self._seen is not None or is_a(error, passed):
            return None
        # Of a view that was released, or a tensor that a transformation of PyTorch traces.
        found = NoForm(f"{type(error).__name__}: {error}")
        found.__cause__ = error
        return found

    def cycle(self, root: OpenForm, members: list[OpenForm]) -> list[bytes]:
        with late_import:
            from .cycles import write_cycle

        for member in members:
            if member.form.tag == HOOKED:
                raise self.error(member.value, "its canonical form contains it again")
        return write_cycle(members, partial(self._no_order, root))

    def _no_order(self, root: OpenForm, member: OpenForm, is_tied: bool) -> None:
        kind = type(member.value).__name__
        if self._report is None:
            reason = f"a {kind} in it contains itself, and has no order. Use a list"
            raise self.error(root.value, reason)
        if is_tied:
            self.report(member.value, "contains itself in parts that look alike")

    def _without_form(self, value: Any, error: NoForm) -> Union[bytes, OpenForm]:
        if self._report is not None:
            self.report(value, f"{WITHOUT_FORM} ({error})")
            kind = type(value)
            if not is_of_the_user(kind):
                return opaque(value)
            return self.push(value, Form(b"!opaque;", PARTS, (kind,)))
        with late_import:
            from concurrent.futures import Future

        for depth, frame in enumerate(self.frames):
            if is_a(frame.value, Future):
                del self.frames[depth:]
                raise self.error(frame.value, ABOUT_FUTURES)
        raise self.error(value, str(error)) from error.__cause__

    def report(self, value: Any, reason: str) -> None:
        """Tells of a value that cannot be written, or not be watched."""
        if self._report is not None:
            self._report(self.frames, value, reason)

    @staticmethod
    def written_anew(value: Any) -> Optional[bytes]:
        """Writes a value by itself, to compare it later; `None` if there is too much of it."""
        return _Reading().read(value)

    def replaced(self, value: Any) -> Any:
        """Asks the hook what is to be written in place of a value, or `NotImplemented`."""
        assert self.hook is not None
        try:
            replaced = self.hook(value)
        except Exception as error:
            reason = f"its canonical form cannot be made: {type(error).__name__}: {error}"
            raise self.error(value, reason) from error
        if replaced is not NotImplemented and len(self.frames) > DEEPEST_HOOKED:
            raise self.error(value, "canonical forms contain each other without end")
        return replaced

    def error(self, value: Any, reason: str) -> IdentityError:
        from ..errors import IdentityError

        kind = name_of(type(value))
        name = self._name
        return IdentityError(
            f"{self.path()} has no canonical form, so no id can be made of it: {kind}: {reason}"
            + (
                f". If the result does not depend on it, leave it out: @task(ignore=[{name!r}])"
                if name.isidentifier() and reason is not ABOUT_FUTURES
                else ""
            )
        )

    def path(self) -> str:
        return self._name + "".join(_step(frame) for frame in self.frames)


class _TooMuch(Exception):
    pass


class _Reading(Writer):
    """Writes a value to compare it with itself: code by its identity."""

    looks_at_names = True  # they count as parts of it

    def __init__(self) -> None:
        ignored: Reporter = lambda frames, value, reason: None  # noqa: E731
        super().__init__(lambda code: b"@%x;" % id(code), report=ignored, seen=Seen())
        self._left = MOST_ELEMENTS

    def read(self, value: Any) -> Optional[bytes]:
        try:
            return self.write(value)
        except _TooMuch:
            return None

    def _open_part(self, value: Any, seen: Seen) -> Union[bytes, Form]:
        form = open_carefully(value, self)
        self._left -= len(form.children) if is_a(form, Form) else len(form) >> 3
        if self._left < 0 or self.bulk > MOST_BYTES:
            raise _TooMuch
        return form


def _leaf_of(kind: type) -> Any:
    return by_kind(LEAVES, kind)


def _step(frame: OpenForm) -> str:
    position, form = len(frame.written), frame.form
    if position >= len(form.children):
        return ""
    if form.kind == SEQUENCE:
        return f"[{position}]"
    if form.kind == MAP:
        key = form.children[position - position % 2]
        return f"[{key!r}]" if is_a(key, (str, int, float, bytes, tuple)) else "[...]"
    if form.kind == FIELDS:
        return f".{form.children[position - position % 2]}"
    if form.kind == SET:
        return "{...}"
    return form.steps[position] if form.kind == PARTS and form.steps else ""
