"""What a value is and holds, without running code of its own: `__class__` may be a property."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from .._system.importing import late_import

if TYPE_CHECKING:
    from builtins import isinstance as is_a
else:

    def is_a(value, kinds):
        """Says whether a value is of one of some classes, whatever it claims to be."""
        return issubclass(type(value), kinds)


__all__ = ["is_a"]  # for type checkers: the other names are not imported

# The name of a slot, and what reads it.
Member = tuple[str, Callable[[Any], Any]]

_mro = type.__dict__["__mro__"].__get__
_bases = type.__dict__["__bases__"].__get__
_module = type.__dict__["__module__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_dict = type.__dict__["__dict__"].__get__
# How Python itself gives objects and modules their `__dict__`.
_READERS = (GetSetDescriptorType, MemberDescriptorType)


def attributes_of(owner: Any) -> Mapping[str, Any]:
    """Returns the attributes of a class or an object, without a look by any code of its own."""
    if is_a(owner, type):
        return _dict(owner)  # type: ignore[no-any-return]
    try:
        found = reader_of(type(owner))(owner)
    except (AttributeError, TypeError):
        return {}  # it was compiled by mypyc, or its class has got other bases
    # A module that was never initialized has none.
    return {} if found is None else found


def reader_of(kind: type) -> Callable[[Any], Mapping[str, Any]]:
    """Finds what reads the attributes of the objects of a class."""
    for base in _mro(kind):
        found = _dict(base).get("__dict__")
        if found is not None:
            # A property that the class has instead would be run.
            return found.__get__ if type(found) in _READERS else _nothing
    return _nothing


def hides_attributes(kind: type) -> bool:
    """Says whether a class has a `__dict__` of its own, so that nothing of its objects is read."""
    return defines(kind, "__dict__") and reader_of(kind) is _nothing


def _nothing(owner: Any) -> Mapping[str, Any]:
    return {}


def mro_of(kind: type) -> tuple[type, ...]:
    return _mro(kind)  # type: ignore[no-any-return]


def bases_of(kind: type) -> tuple[type, ...]:
    return _bases(kind)  # type: ignore[no-any-return]


def module_of(kind: type) -> str:
    """Names the module of a class as the class has it."""
    found = _module(kind)
    return found if type(found) is str else "builtins"


def qualname_of(kind: type) -> str:
    return _qualname(kind)  # type: ignore[no-any-return]


def short_name_of(kind: type) -> str:
    return type.__dict__["__name__"].__get__(kind)  # type: ignore[no-any-return]


def name_of(kind: type) -> str:
    """Names a class with its module."""
    return f"{module_of(kind)}.{qualname_of(kind)}"


def number_of(kind: type, name: str) -> int:
    """Reads what Python itself says of a class, such as `__basicsize__`."""
    return type.__dict__[name].__get__(kind)  # type: ignore[no-any-return]


def is_changeable(kind: type) -> bool:
    """Says whether attributes of a class can be set: not of those that are written in C."""
    return bool(number_of(kind, "__flags__") & 1 << 9)  # `Py_TPFLAGS_HEAPTYPE`


def name_of_module(module: Any) -> str:
    found = attributes_of(module).get("__name__")
    return found if type(found) is str else ""


def is_below(value: Any, package: str, name: str) -> bool:
    """Says whether it is a module that its package has from the moment on when it is loaded."""
    return is_a(value, ModuleType) and name_of_module(value) == f"{package}.{name}"


def is_task(value: Any) -> bool:
    """Says whether it is what `@task` has made: what wraps that has its attributes, too."""
    found = attributes_of(value)
    inner = attributes_of(found.get("__wrapped__"))
    return "bandsaw_task" in found and inner.get("bandsaw_task") is not found["bandsaw_task"]


def by_kind(table: Mapping[type, Any], kind: type) -> Any:
    """Looks a class up in a table of Python's own: a metaclass may define `__hash__`."""
    return table.get(kind) if type(kind) is type else None


# Members of objects that are written in C may be made anew each time they are read.
_MADE_ANEW: Mapping[type, Any] = {
    **{kind: kind.__eq__ for kind in (int, str, bytes)},
    float: lambda one, other: one.hex() == other.hex(),
}


def is_one(one: Any, other: Any) -> bool:
    """Says whether two values are the same object, or may be one that was made anew."""
    equals = None if one is other else by_kind(_MADE_ANEW, type(one))
    return one is other or (equals is not None and type(other) is type(one) and equals(one, other))


def defines(kind: type, name: str) -> bool:
    """Says whether objects of a class have an attribute by their class."""
    for base in _mro(kind):
        if name in _dict(base):
            return True
    return False


def kind_of(owner: Any) -> Any:
    """Returns where attributes are looked for next: the bases of a class, or the class."""
    return _bases(owner) if is_a(owner, type) else type(owner)


def memos_of(kind: type) -> frozenset[str]:
    """Names the attributes that objects of a class keep of what their methods have computed.

    Those are what is behind a `cached_property`, and what only `__hash__` computes: hashes of texts
    are others in each process.
    """
    found: set[str] = set()
    of_hash: set[str] = set()
    for base in _mro(kind):
        members = _dict(base)
        found.update(name for name, each in members.items() if type(each) is cached_property)
        if type(members.get("__hash__")) is FunctionType:
            of_hash |= _assigned_by(members["__hash__"].__code__)
    for base in _mro(kind) if of_hash else ():
        for name, member in _dict(base).items():
            functions = [getattr(member, part, None) for part in _PARTS.get(type(member), ())]
            for function in (member, *functions):
                if type(function) is FunctionType and name != "__hash__":
                    of_hash -= _assigned_by(function.__code__)
    return frozenset(found | of_hash)


_PARTS: Mapping[type, tuple[str, ...]] = {
    **dict.fromkeys((staticmethod, classmethod), ("__func__",)),
    property: ("fget", "fset", "fdel"),
}


@lru_cache(maxsize=4096)
def _assigned_by(code: CodeType) -> frozenset[str]:
    """Names the attributes to which a function assigns something else than a constant."""
    with late_import:
        import dis

    steps = list(dis.get_instructions(code))
    return frozenset(
        step.argval
        for number, step in enumerate(steps)
        if step.opname == "STORE_ATTR" and steps[max(0, number - 2)].opname not in _CONSTANTS
    )


_CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT")


def members_of(kind: type) -> tuple[Member, ...]:
    """Finds the slots that objects of a class have."""
    return tuple(
        (name, member.__get__)
        for base in _mro(kind)
        for name, member in _dict(base).items()
        # What a complex number gives is made each time.
        if (type(member) is MemberDescriptorType and base is not complex)
        or (type(member) is GetSetDescriptorType and name in _slots_of(base, BY_MYPYC))
        if name[:2] != "__" or name in _slots_of(base)
    )


# Classes that mypyc has compiled have their attributes in C, and say here which these are.
BY_MYPYC = "__mypyc_attrs__"


def _slots_of(kind: type, place: str = "__slots__") -> Sequence[Any]:
    found = _dict(kind).get(place)
    return found if type(found) in (tuple, list) else ()


def state_of(owner: Any, members: tuple[Member, ...]) -> dict[str, Any]:
    """Copies the attributes of a class or an object, those in slots included."""
    state = dict(attributes_of(owner))
    for name, read in members:
        try:
            state.setdefault(name, read(owner))
        except AttributeError:
            continue
    return state


def innermost(function: Any) -> Any:
    """Returns the function that the user wrote, below decorators that use `functools.wraps`."""
    passed: set[int] = set()
    while id(function) not in passed and is_a(function, FunctionType):
        passed.add(id(function))
        wrapped = function.__dict__.get("__wrapped__")
        function = wrapped if is_a(wrapped, FunctionType) else function
    return function


def spec_of(module: Any) -> Any:
    """Returns the spec of a module, which `importlib.reload` replaces."""
    plain = type(module) is ModuleType  # others may have a `__getattribute__`
    variables = module.__dict__ if plain else attributes_of(module)
    return variables.get("__spec__")
