"""Classes by name, and the state of their instances: how both are read without running code.

A name that arrives leads only to what stands in the namespace of a module that is loaded already,
is first-party or is trusted. Attributes are read from the namespaces themselves, because a module
may have a `__getattr__` that imports others.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .._script import Script
from ..errors import DeserializationError

_OURS = __name__.partition(".")[0]
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: set for all classes that are not built into C code


def is_static(cls: type) -> bool:
    """Says whether a class is part of the interpreter, so that its `__new__` is known code."""
    return not cls.__flags__ & _HEAP_TYPE


# multiprocessing runs the script under the second name in processes that it spawns.
MAIN_NAMES = ("__main__", "__mp_main__")


def name_of(obj: Any) -> tuple[str, str]:
    """Gives module and qualified name, for the script that is run the name to import it by."""
    module = str(obj.__module__)  # a class may have set it to anything
    if module in MAIN_NAMES:
        from ..modules import main_module_name

        module = main_module_name() or module
    return module, obj.__qualname__


def importable_name_of(cls: type) -> tuple[str, str]:
    """Gives the same as `name_of`, and raises a `TypeError` for a class in a function."""
    module, name = name_of(cls)
    if "<" in name:
        raise TypeError(
            f"the class {module}.{name} is local to a function, where no reader finds it"
        )
    return module, name


def find_class(
    module_name: str, qualified_name: str, trusted_modules: Sequence[str] | None = ()
) -> type | None:
    """Looks up a class by its name.

    `trusted_modules`: modules that may be imported beside the first-party ones, with all that is
    below them. `None`: all modules may be imported, and their `__getattr__` may run. Returns the
    class, or `None` where no class of that name is found.
    """
    if type(module_name) is not str or type(qualified_name) is not str:
        raise DeserializationError("The name of a class is not a string")
    found: Any = _find_module(module_name, trusted_modules)
    # Some modules of bandsaw load their parts in a `__getattr__`.
    may_run_code = trusted_modules is None or module_name.partition(".")[0] == _OURS
    for part in qualified_name.split("."):
        if found is None:
            return None
        found = _attribute(found, part, may_run_code)
    if found is not None and not isinstance(found, type):
        raise DeserializationError(f"{module_name}.{qualified_name} is not a class")
    return found


def require_class(
    module_name: str,
    qualified_name: str,
    trusted_modules: Sequence[str],
    is_kind: Callable[[type], bool],
    kind: str,
) -> Any:
    """Looks up a class as `find_class` does, and raises unless it is there and of the kind."""
    cls = find_class(module_name, qualified_name, trusted_modules)
    if cls is None:
        raise DeserializationError(
            f"The data needs the class {module_name}.{qualified_name}, which is not to be had "
            "here: its module has to be loaded, to be importable first-party code, or to be named "
            "in JsonSerializer(trusted_modules=...)"
        )
    if not is_kind(cls):
        raise DeserializationError(f"{module_name}.{qualified_name} is not {kind}")
    return cls


def _find_module(name: str, trusted_modules: Sequence[str] | None) -> Any | None:
    from ..modules import main_module_name

    if name == main_module_name() and type(sys.modules["__main__"]) in (types.ModuleType, Script):
        name = "__main__"
    if name in sys.modules:
        return sys.modules[name]
    parts = name.split(".")
    # Each parent is checked: to import a module runs its parents, too.
    for end in range(1, len(parts) + 1):
        ancestor = ".".join(parts[:end])
        if ancestor in sys.modules:
            continue
        if not (trusted_modules is None or _may_import(ancestor, trusted_modules)):
            return None
        try:
            importlib.import_module(ancestor)
        except (ImportError, ValueError):
            return None
        except Exception as error:
            raise DeserializationError(f"The module {ancestor} cannot be imported") from error
    return sys.modules.get(name)


def _may_import(name: str, trusted_modules: Sequence[str]) -> bool:
    parts = name.split(".")
    # A `__main__` is there to be run, not to be imported.
    if not all(part.isidentifier() for part in parts) or parts[-1] == "__main__":
        return False
    if parts[0] == _OURS:
        return True
    for trusted in trusted_modules:
        if f"{name}.".startswith(f"{trusted}.") or f"{trusted}.".startswith(f"{name}."):
            return True
    from .._identity.firstparty import is_first_party

    return is_first_party(name)


def _attribute(owner: Any, name: str, may_run_code: bool) -> Any:
    if may_run_code:
        try:
            return getattr(owner, name, None)
        except Exception:  # of a `__getattr__`, such as for what a package has no longer
            return None
    if isinstance(owner, type):
        return vars(owner).get(name)
    if isinstance(owner, types.ModuleType):
        return object.__getattribute__(owner, "__dict__").get(name)
    return None


def _slots(cls: type) -> dict[str, Any]:
    slots: dict[str, Any] = {}
    for base in cls.__mro__:
        if not is_static(base):
            for name, member in vars(base).items():
                if type(member) is types.MemberDescriptorType:
                    # A derived class may have one of the same name, which is the one in use.
                    slots.setdefault(name, member)
    return slots


def state_of(obj: Any) -> dict[str, Any]:
    """Gives the attributes that an instance has of its own, in its `__dict__` and its slots."""
    state = dict(getattr(obj, "__dict__", ()))
    for name, member in _slots(type(obj)).items():
        try:
            state[name] = member.__get__(obj)
        except AttributeError:
            pass
    return state


def set_state(obj: Any, state: Mapping[str, Any]) -> None:
    """Sets attributes of an instance, past the properties and `__setattr__` of its class."""
    if not isinstance(state, dict) or not all(type(name) is str for name in state):
        raise DeserializationError("The attributes of an object are not named by strings")
    if not state:
        return
    slots = _slots(type(obj))
    for name, value in state.items():
        if name in slots:
            slots[name].__set__(obj, value)
        elif hasattr(obj, "__dict__"):
            obj.__dict__[name] = value
        else:
            raise DeserializationError(f"A {type(obj).__name__} has no attribute {name!r}")


class _WithText:
    __slots__ = ()

    def __init_subclass__(cls) -> None:
        pass  # the class of the user would take it for one of the user's

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)
        cls, *rest = reduced
        return (own_class(self) if cls is type(self) else cls, *rest)


def with_text(cls: Any, text: str) -> Any:
    """Derives a class from one of exceptions, of the same name, whose instances say a text."""
    names: dict[str, Any] = {
        name: vars(cls)[name] for name in ("__module__", "__doc__") if name in vars(cls)
    }
    names.update(__slots__=(), __qualname__=cls.__qualname__, __str__=lambda _: text)
    # Past what a metaclass does: data must not call it.
    return type.__new__(type(cls), cls.__name__, (_WithText, cls), names)


def own_class(obj: Any) -> Any:
    """Gives the class of an object, without what `with_text` made of it."""
    cls = type(obj)
    return cls.__bases__[1] if cls.__bases__[0] is _WithText else cls
