"""What a task id is made of, item by item, so that two of them can be compared.

```
walk as for the id -> functions, classes, modules, names of distributions -> items
```

The walk is that of the id. What it comes across is digested once more, each by itself: other code
counts by its name there, so that an edit shows up where it was made and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Optional, Union

from .canonical import Reporter, Writer
from .carried import carried_by
from .definitions import definition_of, write_code
from .firstparty import (
    canonical_module_name,
    distribution_of,
    global_name,
    names_of_global,
    unversioned_name,
)
from .forms import LEAVES, PARTS, Form, OpenForm, Written, inline, write_str
from .holdings import ATTRIBUTES
from .kinds import (
    attributes_of,
    is_a,
    is_task,
    module_of,
    name_of_module,
    qualname_of,
    short_name_of,
)
from .loaded_together import together_for
from .module_parts import Part
from .names import CHANGING, STATED
from .part_forms import PART
from .part_items import DIGITS, Item, by_module, merged, module_item, place_of
from .reach import MODULE, TASK, Reach
from .safe_opening import FOREIGN, NAMES
from .static_names import source_of_namespace
from .watch import Seen

_LONGEST_TEXT = 60
_LARGEST_INT = 1 << 200
_METHODS = (classmethod, staticmethod)
_CODE = (FunctionType, type, ModuleType)
_CODE_TAGS = (b"!function;", b"!class;", FOREIGN, MODULE, PART, TASK)


class _Recorder(Writer):
    """Writes as for an id, and keeps what it comes across."""

    looks_at_names = True

    def __init__(self, reach: Reach) -> None:
        super().__init__(reach.form, report=reach.problems.report, seen=reach.seen)
        # By identity, because classes may define equality.
        self.code: dict[int, tuple[Any, Form]] = {}
        self.distributions: set[tuple[str, str]] = set()

    def enter(self, value: Any) -> Union[bytes, OpenForm]:
        entered = super().enter(value)
        if is_a(entered, OpenForm):
            if entered.form.tag in _CODE_TAGS:
                self.code[id(value)] = value, entered.form
        elif entered[:1] == b"g":
            self.distributions |= {(name, version) for _, _, name, version in
                                   [names_of_global(entered)] if name}  # fmt: skip
        return entered


class _ByName(Writer):
    """Writes values in which code counts by its name only."""

    looks_at_names = True

    def __init__(self, told_apart: Mapping[int, bytes]) -> None:
        # As for an id, so that nothing of the user's runs.
        report: Reporter = lambda frames, value, reason: None  # noqa: E731
        super().__init__(self._write_name, report=report, seen=Seen())
        self._told_apart = told_apart

    def _write_name(self, code: Any) -> bytes:
        if is_a(code, CodeType):
            return b"!code;" + sha256(write_code(code)).digest()
        return _name_of(code) + self._told_apart.get(id(code), b"")

    def enter(self, value: Any) -> Union[bytes, OpenForm]:
        entered = super().enter(value)
        if is_a(entered, bytes) and entered[:1] == b"g":
            return unversioned_name(entered)
        return entered

    def hex(self, value: Any) -> str:
        return sha256(self.write(value)).hexdigest()[:DIGITS]


def parts_of_code(codes: Iterable[Any], limit: int, left_out: Collection[str]) -> list[Item]:
    """Says what the digest of code is made of."""
    codes, known, is_told_apart = list(codes), together_for(left_out), False
    reach = Reach((), left_out, together=known)
    while True:
        recorder = _Recorder(reach)
        lines = reach.lines_of(codes, recorder)
        if not reach.is_settled():
            reach = Reach((), left_out, reach, is_told_apart=is_told_apart)
        elif 0 < len(lines) <= limit:
            is_told_apart = True
            reach = Reach((), left_out, together=known, is_told_apart=True)
        else:
            break
    known.keep()
    distributions = recorder.distributions
    by_name = _ByName(_told_apart(recorder.code.values()))
    items: list[tuple[Any, Item]] = []
    for code, form in recorder.code.values():
        items += ((_home(code), item) for item in _items_of(code, form, by_name))
    items = merged(items) + _assigned(reach.seen)
    for node, line in lines:
        digest = sha256(line).hexdigest()[:DIGITS]
        if is_a(node, Part):
            items.append((_home(node), ("function", node.name, "", digest)))
            continue
        name = ".".join(node.chain)
        if line != node.written_name + inline(global_name(node.module, name)):
            items.append((node.module, ("function", name, "", digest)))  # memory has another
        distribution = distribution_of(node.module)
        if distribution is not None:
            distributions.add(distribution)
    if lines or len(items) + len(distributions) > limit:
        items = by_module(items, carried_by(reach.seen).values, limit)
    found = [item for _, item in items]
    return found + [("distribution", name, "", version) for name, version in distributions]


def _assigned(seen: Seen) -> list[tuple[Any, Item]]:
    """Makes items of the statements whose values only running them tells."""
    items: list[tuple[Any, Item]] = []
    for namespace, name, _ in list(seen.names.values()):
        source = source_of_namespace(namespace)
        if source is not None and source.computes(name):
            written = b"".join(source.statements(name))
            home, digest = namespace["__name__"], sha256(written).hexdigest()[:DIGITS]
            items.append((home, ("assigned", name, place_of(home), digest)))
    return items


def dependency_item(dependency: Any, digest: Optional[bytes] = None) -> Item:
    """Makes the item of something that `depends` names."""
    from .._file import File

    if is_a(dependency, ModuleType):
        what = canonical_module_name(dependency.__name__)
    elif is_a(dependency, (FunctionType, type)):
        what = dependency.__qualname__
    elif is_a(dependency, File):
        what = os.fsdecode(dependency.path)
    else:
        what = _plain(dependency) or type(dependency).__name__
    text = _ByName({}).hex(dependency) if digest is None else digest.hex()[:DIGITS]
    return "depends", what, "", text


def text_of(value: Any) -> str:
    """Describes a value by a short text that is different for every value."""
    return _text(value, _ByName({}))


def _text(value: Any, by_name: _ByName) -> str:
    if is_a(value, Form) and value.tag == CHANGING:
        return f"at first {by_name.hex(value)}"
    if is_a(value, Form) and value.tag == STATED:
        return f"{short_name_of(type(value.children[0]))} {by_name.hex(value)}"
    # Which methods are of a type derived from it differs between versions of Python.
    kind = BuiltinFunctionType if is_a(value, BuiltinFunctionType) else type(value)
    return _plain(value) or f"{short_name_of(kind)} {by_name.hex(value)}"


def _plain(value: Any) -> Optional[str]:
    kind = type(value)
    if kind not in LEAVES and kind is not bytes:
        return None
    if kind is int and not -_LARGEST_INT < value < _LARGEST_INT:
        return None
    if kind in (str, bytes) and len(value) > _LONGEST_TEXT:
        return None
    # Which characters can be printed differs between versions of Python.
    text = ascii(value)
    return text if len(text) <= _LONGEST_TEXT else None


def _items_of(code: Any, form: Form, by_name: _ByName) -> Iterable[Item]:
    place = place_of(_home(code))
    if form.tag == MODULE:
        _, written, names = form.children
        yield from _values_in(names, "", place, by_name)
        yield module_item(_home(code), sha256(written.data).digest())
        return
    name = qualname_of(code) if is_a(code, type) else code.__qualname__
    if form.tag == TASK:
        inner, depends = form.children
        if not is_a(inner, FunctionType):
            yield "version", name, place, _text(inner[1], by_name)
        for dependency in depends or ():
            yield dependency_item(dependency)
        return
    if form.tag == FOREIGN:
        yield "value", name, place, f"function {by_name.hex(form)}"
        return
    if is_a(code, Part):
        yield code.kind, name, place, by_name.hex(form)
        return
    if is_a(code, FunctionType) and "__wrapped__" in code.__dict__:
        # `functools.wraps` gave it the name of what it wraps.
        name = code.__code__.co_name
    children = []
    for child in form.children:
        if is_a(child, Form) and child.tag in (NAMES, ATTRIBUTES):
            yield from _values_in(child, name, place, by_name)
            kept = [part for pair in _pairs_of(child) if is_a(pair[1], (*_CODE, Written))
                    for part in pair]  # fmt: skip
            child = Form(child.tag, child.kind, kept)
        children.append(child)
    kind = "class" if is_a(code, type) else "function"
    for key, member in attributes_of(code).items() if kind == "class" else ():
        method = getattr(member, "__func__", member) if type(member) in _METHODS else member
        if not is_a(method, FunctionType) or _home(method) != _home(code):
            continue  # that of a decorator or a base
        definition = definition_of(method)
        if definition.is_by_source:
            yield "method", f"{name}.{key}", place, definition.digest.hex()[:DIGITS]
    yield kind, name, place, by_name.hex(Form(form.tag, PARTS, children))


def _values_in(form: Form, owner: str, place: str, by_name: _ByName) -> Iterable[Item]:
    """Makes items of the values that code uses, or that a class has."""
    for key, value in _pairs_of(form):
        if not is_a(value, (*_CODE, Written)):
            key = key.rpartition(" ")[2] if form.tag == NAMES else f"{owner}.{key}"
            yield "value", key, place, _text(value, by_name)


def _pairs_of(form: Form) -> list[tuple[str, Any]]:
    return list(zip(form.children[::2], form.children[1::2]))


def _told_apart(found: Iterable[tuple[Any, Form]]) -> dict[int, bytes]:
    """Finds what several functions or classes of one name, as closures are, differ in."""
    by_name = _ByName({})
    named: dict[bytes, list[tuple[Any, Form]]] = {}
    for code, form in found:
        named.setdefault(_name_of(code), []).append((code, form))
    return {
        id(code): sha256(by_name.write(form)).digest()
        for same in named.values()
        if len(same) > 1
        for code, form in same
    }


def _name_of(code: Any) -> bytes:
    if is_a(code, ModuleType):
        return b"!module;" + write_str(canonical_module_name(name_of_module(code)))
    module = canonical_module_name(module_of(code) if is_a(code, type) else code.__module__)
    name = qualname_of(code) if is_a(code, type) else code.__qualname__
    return b"!name;" + write_str(module) + write_str(name)


def _home(code: Any) -> Any:
    """The name of the module in which code is defined."""
    if is_a(code, ModuleType):
        return name_of_module(code)
    if is_a(code, FunctionType) and not is_task(code):
        # Not `__module__`: decorators copy that from what they wrap.
        return code.__globals__.get("__name__")
    return module_of(code) if is_a(code, type) else code.__module__
