"""From the names that a definition uses to what they stand for at run time."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Optional

from . import by_source
from .by_source import Reader
from .first_values import MISSING, is_other_than_first
from .firstparty import canonical_module_name, global_name, is_first_party
from .forms import PARTS, Form, Written, write_str
from .held_contents import holds_code
from .installed import setting_of
from .kinds import attributes_of, defines, is_a, is_task, module_of, name_of_module
from .module_parts import WHOLE, Module
from .sources import Source, module_source
from .stored import is_known_by_origin, is_of_the_user, is_strange, pickles_nothing
from .uses import RUN_BY_IMPORT, Origin, Use, absolute
from .watch import home_of

# The tag of a name that the program changes while it runs.
CHANGING = b"!changing;"
# The tag of a value with the statements that assign it.
STATED = b"!stated;"
_UNRESOLVED, _LEFT_OUT = Written(b"u"), Written(b"!state;")


def resolve(
    use: Use,
    namespace: dict[str, Any],
    cells: dict[str, Any],
    source: Optional[Source],
    reader: Reader,
) -> tuple[str, Any]:
    """Finds what a use of a name stands for.

    Returns the chain as far as it was followed, and what is there: any value, something `Written`
    by its name, or an exception that says why it cannot be followed.
    """
    if use.origin is not None:
        if use.chain[0].startswith(RUN_BY_IMPORT):
            return use.chain[0], _run_by(use.origin, namespace, reader)
        return _imported(use, use.origin, namespace, reader)
    name, rest = use.chain[0], use.chain[1:]
    if name in cells:
        return followed(name, cells[name], rest, reader)
    if name == "__name__":
        return name, Written(write_str(canonical_module_name(namespace.get(name))))
    if name in by_source.OF_THE_MODULE:
        return name, _UNRESOLVED
    value = namespace.get(name, MISSING)
    if reader.is_left_out(namespace, name):
        return name, _LEFT_OUT
    reader.seen.name(namespace, name, value)
    if value is MISSING:
        if hasattr(builtins, name):
            return name, installed(builtins, (name,), reader)
        return name, _UNRESOLVED
    if source is not None:
        origin = source.imports.get(name)
        if origin is not None and not is_a(value, ModuleType):
            module = absolute(origin, namespace.get("__package__"))
            if (module, origin[1]) == ("sys", "argv") and value is sys.__dict__.get("argv"):
                return name, _arguments(value, reader)
            if (
                not is_first_party(module)
                and is_of_module(module, origin[1], value)
                and not _is_replaced(namespace, name, value, reader)
            ):
                held = setting_of(value, rest, reader.seen)
                if held is not MISSING:
                    return f"{name}.{rest[0]}", held
                written = Written(global_name(module, origin[1]))
                is_class = is_a(value, type)
                return name, reader.installed_class(value, written) if is_class else written
        value = _variable(name, value, source, namespace, reader)
    return followed(name, value, rest, reader, None if source is None else namespace)


def followed(
    key: str,
    value: Any,
    rest: tuple[str, ...],
    reader: Reader,
    user: Optional[Mapping[str, Any]] = None,
) -> tuple[str, Any]:
    """Follows attributes that code uses; `user`: the variables of the module of that code."""
    position = 0
    for position, name in enumerate((*rest, "")):
        if name in ("", "__dict__") or not is_a(value, ModuleType):
            break
        if not is_first_party(name_of_module(value)):
            dotted = ".".join(rest[position:])
            return f"{key}.{dotted}", installed(value, rest[position:], reader)
        reader.note_module(name_of_module(value))
        key = f"{key}.{name}"
        source = module_source(value)
        module = value
        if name in by_source.OF_THE_MODULE or name == "__name__":
            return key, _UNRESOLVED
        # Not by an attribute: a module may make one up, and import others for it.
        namespace = attributes_of(module)
        value = namespace.get(name, MISSING)
        if reader.is_left_out(namespace, name):
            return key, _LEFT_OUT
        inner = f"{name_of_module(module)}.{name}" if "__path__" in namespace else ""
        if inner and value is MISSING and by_source.spec_of_name(inner) is not None:
            return key, by_source.find(inner, rest[position + 1 :], reader)
        reader.seen.name(namespace, name, value)
        # It may not be there yet when the user's module is: by its source, before and after.
        is_inner = is_a(value, ModuleType) and value is sys.modules.get(inner)
        if is_inner and user is not None and not reader.is_loaded_with(user, inner):
            return key, by_source.find(inner, rest[position + 1 :], reader)
        if value is MISSING:
            if "__getattr__" in namespace:
                gap = by_source.Gap("the __getattr__ of its module makes it when it is used")
                maker = namespace["__getattr__"]
                reader.seen.name(namespace, "__getattr__", maker)
                return key, by_source.Found([maker, gap])
            if type(module) is not ModuleType:
                return key, by_source.Gap("its module may make it when it is used")
            return key, _UNRESOLVED
        if is_a(value, ModuleType) or source is None:
            continue
        origin = source.imports.get(name)
        if origin is not None:
            home = absolute(origin, namespace.get("__package__"))
            is_installed = not is_first_party(home) and is_of_module(home, origin[1], value)
            if is_installed and not is_strange(value):
                return key, Written(global_name(home, origin[1]))
        value = _variable(name, value, source, namespace, reader)
    if is_a(value, FunctionType) and position < len(rest):
        attribute = _attribute_of(value, rest[position], reader)
        if attribute is not MISSING:
            return f"{key}.{rest[position]}", (value, attribute)
    return key, value


def installed(module: ModuleType, chain: tuple[str, ...], reader: Reader) -> Any:
    """Writes the name of what an installed module offers, unless something stands in for it."""
    value: Any = module
    for name in chain:
        if not is_a(value, ModuleType):
            held = setting_of(value, (name,), reader.seen)
            if held is not MISSING:
                return held
            break
        namespace = attributes_of(value)
        value = namespace.get(name, MISSING)
        if type(value) is BuiltinFunctionType and module is builtins:
            if name in _OFTEN_REPLACED:
                reader.seen.name(namespace, name, value)
            break
        if name == "argv" and namespace is attributes_of(sys):
            return _arguments(value, reader)
        is_counted = is_a(value, type) or defines(type(value), "__call__") or type(value) in _DATA
        if is_strange(value) or (
            is_counted and (module is not builtins or name in _OFTEN_REPLACED)
        ):
            reader.seen.name(namespace, name, value)
            if reader.is_left_out(namespace, name):
                break
            if _is_replaced(namespace, name, value, reader):
                return value
    written = Written(global_name(name_of_module(module), ".".join(chain)))
    return reader.installed_class(value, written) if is_a(value, type) else written


def _arguments(value: Any, reader: Reader) -> Any:
    """Counts the arguments of the program, but for its own name: others may import the script."""
    reader.seen.name(sys.__dict__, "argv", value)
    given = getattr(sys, "orig_argv", _ARGUMENTS)
    if type(value) is not list or not reader.seen.container(value):
        return value
    if value != _ARGUMENTS or value[1:] != given[len(given) - len(value) + 1 :]:
        reader.seen.replaced.add("sys.argv")
    return value[1:]


# As they were when ids were first made: `sys.orig_argv` has those of Python, too.
_ARGUMENTS = list(getattr(sys, "argv", None) or [])
_DATA = frozenset((bool, int, float, complex, str, bytes, tuple))
# The others are never replaced, and each name costs time at each call.
_OFTEN_REPLACED = frozenset(("open", "input", "print", "__import__"))


def is_of_module(module: str, name: str, value: Any) -> bool:
    """Says whether a module really has what was imported from it: a name may be bound again."""
    home = sys.modules.get(module)
    variables = attributes_of(home)
    found = variables.get(name, MISSING)
    makes_names = "__getattr__" in variables or type(home) not in (ModuleType, type(None))
    if found is not MISSING or not makes_names:
        return found is value
    # The module may have made it when it was asked for.
    if is_a(value, ModuleType):
        return True
    if is_a(value, (FunctionType, BuiltinFunctionType, type)):
        return not is_first_party(str(value.__module__))
    return module_of(type(value)).partition(".")[0] == module.partition(".")[0]


def _is_replaced(namespace: Mapping[str, Any], name: str, value: Any, reader: Reader) -> bool:
    """Says whether something stands in for what a name of something installed stood for."""
    if not is_strange(value) and not is_other_than_first(namespace, name, value):
        return False
    reader.seen.replaced.add(f"{home_of(namespace)}.{name}")
    return True


def _attribute_of(function: FunctionType, name: str, reader: Reader) -> Any:
    """Returns an attribute of a function that is not Python's own."""
    if name[:2] == "__" or is_task(function) or _is_of_task(function, name):
        return MISSING
    value = function.__dict__.get(name, MISSING)
    home = value.__globals__.get("__name__") if is_a(value, FunctionType) else None
    if reader.is_state_attribute(name, value) or not (home is None or is_first_party(str(home))):
        return MISSING
    _note_attribute(function, name, value, reader)
    return value


def attributes_of_function(function: FunctionType, reader: Reader) -> dict[str, Any]:
    """Reads the plain attributes of a function, but for those that reached code sets."""
    found = {}
    for name, value in function.__dict__.items():
        if name[:1] == "_" or type(value) not in _DATA or _is_of_task(function, name):
            continue
        if not reader.is_state_attribute(name, value):
            found[name] = value
            _note_attribute(function, name, value, reader)
    return found


def _is_of_task(function: FunctionType, name: str) -> bool:
    """Whether what wraps a task has an attribute only because the task has it."""
    inner = attributes_of(function.__dict__.get("__wrapped__"))
    is_in_both = name in inner and inner[name] is function.__dict__.get(name)
    return is_in_both and "bandsaw_task" in inner


def _note_attribute(function: FunctionType, name: str, value: Any, reader: Reader) -> None:
    reader.seen.name(function.__dict__, name, value)
    module = function.__globals__.get("__name__")  # `mock.create_autospec` gives none
    home = f"{canonical_module_name(module)}:" if module else ""
    reader.seen.places[id(function.__dict__)] = f"{home}{function.__qualname__}"


def _variable(name: str, value: Any, source: Source, namespace: Any, reader: Reader) -> Any:
    """Gives a variable as it is first set, if reached code changes it, else as it is."""
    if source.assigns(name) and reader.is_state(namespace, name, value):
        if not is_a(value, (FunctionType, type, ModuleType)) and not holds_code(value):
            reader.seen.names.pop((id(namespace), name), None)
            return _at_first(name, source, namespace, reader)
    stated = _with_statement(name, value, source)
    if stated is value or not is_known_by_origin(type(value)):
        return stated
    parts = _at_first(name, source, namespace, reader).children[len(source.first_set(name)[0]) :]
    pairs = zip(parts[::2], parts[1::2])
    made_of = [part for pair in pairs if not is_a(pair[1], Written) for part in pair]
    return Form(STATED, PARTS, (*stated.children, *made_of)) if made_of else stated


def _at_first(name: str, source: Source, namespace: Any, reader: Reader) -> Form:
    """A name that the program changes while it runs, by the statements that first set and fill it.

    What these use counts with them, as the class in `store = Store()`, each such name once.
    """
    key, opened = (id(namespace), name), reader.opened
    if key in opened or (not opened and key in reader.stated):
        return Form(CHANGING, PARTS, ()) if opened else reader.stated[key]
    is_outermost, (written, uses) = not opened, source.first_set(name)
    parts: list[Any] = list(written)
    opened.add(key)
    try:
        for use in uses.names:
            parts += resolve(use, namespace, {}, source, reader)
    finally:
        if is_outermost:
            opened.clear()
    form = Form(CHANGING, PARTS, parts)
    return reader.stated.setdefault(key, form) if is_outermost else form


def filled_by_module(name: str, source: Source, namespace: Any, reader: Reader) -> list[Any]:
    """Finds what the top level of a module sets and fills in a class, with what it uses for it."""
    written, uses = source.first_set(name)
    found: list[Any] = list(map(Written, written))
    for use in uses.names if written else ():
        found += () if use.chain[0] == name else resolve(use, namespace, {}, source, reader)
    return found


def _with_statement(name: str, value: Any, source: Source) -> Any:
    """Adds the statements that assign a value which may say less than they do."""
    kind = type(value)
    is_opaque = (
        defines(kind, "__next__")
        or module_of(kind) in ("typing", "builtins", "_thread", "threading", "weakref")
        or pickles_nothing(kind)
        or is_of_the_user(kind)
    )
    if not is_opaque or is_a(value, _BY_VALUE) or not source.assigns(name):
        return value
    return Form(STATED, PARTS, (value, *source.statements(name)))


_BY_VALUE = (
    *(FunctionType, ModuleType, type, type(None), bool, int, float, complex, str, bytes),
    *(tuple, list, dict, set, frozenset, bytearray, BuiltinFunctionType),
)


def _run_by(origin: Origin, namespace: dict[str, Any], reader: Reader) -> Any:
    """Finds what is run by an import statement of a function; nothing if that was done before."""
    home = absolute(origin, namespace.get("__package__"))
    found = by_source.Found()
    for name in (home, f"{home}.{origin.name}" if origin.name else home):
        if is_first_party(name) and not reader.is_loaded_with(namespace, name):
            module = by_source.module_of(name)
            if is_a(module, Module):
                found.append(module.part(WHOLE))
    return found or _UNRESOLVED


def _imported(
    use: Use, origin: Origin, namespace: dict[str, Any], reader: Reader
) -> tuple[str, Any]:
    module_name, rest = absolute(origin, namespace.get("__package__")), use.chain[1:]
    wanted = module_name
    if origin.name is None:
        module_name = module_name.partition(".")[0]  # `import a.b` binds `a`, but imports both
    elif origin.name:
        rest = (origin.name, *rest)
    key, dotted = f"import {module_name}", ".".join(rest)
    if not reader.is_ours(module_name):
        if module_name not in sys.modules and reader.spec_of(module_name) is None:  # not yet
            return f"{key}.{dotted}", by_source.Found([by_source.Outside(module_name, rest)])
        return f"{key}.{dotted}", reader.installed(module_name, rest)
    if reader.is_loaded_with(namespace, wanted):
        return followed(key, sys.modules[module_name], rest, reader, namespace)
    found = by_source.find(module_name, rest, reader)
    if wanted != module_name:
        found += by_source.find(wanted, (), reader)[:1]
    return f"{key}.{dotted}", found
