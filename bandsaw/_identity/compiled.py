"""The canonical forms of what compiled packages make of a function: what it is made of.

What numba and jax compile pickles as, or stores, in which line and file a function is, and has
random names or much of the compiler. Proxies of wrapt claim all that the wrapped function has.
"""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Optional

from .._system.importing import late_import
from .forms import PARTS, Form
from .kinds import attributes_of, mro_of, name_of

if TYPE_CHECKING:
    from .forms import AnyWriter

_PLACES = frozenset(("fun_sourceinfo", "fun_signature"))


def _compiled(value: Any, writer: AnyWriter) -> Form:
    held = attributes_of(getattr(value, "_dispatcher", value))
    # Others are compiled when it is called with them.
    is_of_given_types = getattr(value, "_frozen", not getattr(value, "_can_compile", True))
    results = held.get("overloads", {}).values() if is_of_given_types else ()
    types = [str(each.signature) for each in results]
    identity = getattr(value, "identity", None)
    parts = held.get("py_func"), held.get("targetoptions"), _locals(held), types, identity
    return Form(b"!compiled;", PARTS, (type(value), *parts))


def _locals(held: Any) -> dict[str, str]:
    return {name: str(kind) for name, kind in held.get("locals", {}).items()}


def _callback(value: Any, writer: AnyWriter) -> Form:
    held = attributes_of(value)
    if "_pyfunc" not in held:
        return _as_pickled(value)
    compiler = attributes_of(held.get("_compiler"))
    options = compiler.get("targetoptions"), _locals(compiler)
    return Form(b"!callback;", PARTS, (held["_pyfunc"], str(held.get("_sig")), *options))


def _stencil(value: Any, writer: AnyWriter) -> Form:
    held = attributes_of(value)
    kernel = attributes_of(attributes_of(held.get("kernel_ir")).get("func_id"))
    if "func" not in kernel:
        return _as_pickled(value)
    parts = kernel["func"], held.get("mode"), held.get("options"), held.get("neighborhood")
    return Form(b"!stencil;", PARTS, parts)


def _generalized(value: Any, writer: AnyWriter) -> Form:
    held = attributes_of(value)
    builder = attributes_of(held.get("gufunc_builder"))
    if "py_func" not in builder:
        return _as_pickled(value)
    types = [str(each) for each in builder.get("_sigs", ()) if held.get("_frozen")]
    names = ("py_func", "signature", "targetoptions", "writable_args", "identity")
    return Form(b"!generalized;", PARTS, (*map(builder.get, names), types))


def _jitted(value: Any, writer: AnyWriter) -> Form:
    held = attributes_of(value)
    info = held.get("_jit_info")
    if info is None or "__wrapped__" not in held:
        return _as_pickled(value)  # it came from another process
    # The structures have no form; what is in them is in the lists beside them.
    options = {
        name: getattr(info, name)
        for name in getattr(info, "_fields", ())
        if name not in _PLACES and not name.endswith("_treedef")
    }
    return Form(b"!jitted;", PARTS, (held["__wrapped__"], options))


def open_proxy(value: Any) -> Optional[Form]:
    """Opens a proxy of wrapt, as its decorators make them; `None` for all else."""
    kind = type(value)
    bases = [base for base in mro_of(kind) if name_of(base) in _PROXIES]
    read = {name: member.__get__ for base in bases for name, member in attributes_of(base).items()
            if name in _OF_PROXIES and type(member) in _READ_BY_PYTHON}  # fmt: skip
    if "__wrapped__" not in read:
        return None
    held = [read[name](value) for name in _OF_PROXIES if name in read]
    return Form(b"!proxy;", PARTS, (kind, *held))


# Version 1 says that they are Python's own.
_PROXIES = frozenset(
    f"{module}.{name}"
    for module in ("_wrappers", "builtins")
    for name in ("ObjectProxy", "_FunctionWrapperBase")
)
_READ_BY_PYTHON = (GetSetDescriptorType, MemberDescriptorType)
_OF_PROXIES = ("__wrapped__", "_self_wrapper", "_self_enabled", "_self_instance", "__self_dict__")


def _as_pickled(value: Any) -> Form:
    with late_import:
        from .reduced import open_reduced

    return open_reduced(value)


BY_NAME = {
    "numba.core.registry.CPUDispatcher": _compiled,
    "numba.np.ufunc.dufunc.DUFunc": _compiled,
    "numba.np.ufunc.gufunc.GUFunc": _generalized,
    "numba.core.ccallback.CFunc": _callback,
    "numba.stencils.stencil.StencilFunc": _stencil,
    "jaxlib._jax.PjitFunction": _jitted,
    "jaxlib.xla_extension.PjitFunction": _jitted,
}
