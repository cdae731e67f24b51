"""The canonical forms of what numba and jax compile: the function, and how.

What they pickle as, or store, says in which line and file a function is, and has random names or
much of the compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._system.importing import late_import
from .forms import PARTS, Form
from .kinds import attributes_of

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
    return Form(b"!compiled;", PARTS, parts)


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


def _as_pickled(value: Any) -> Form:
    with late_import:
        from .reduced import open_reduced

    return open_reduced(value)


BY_NAME = {
    "numba.core.registry.CPUDispatcher": _compiled,
    "numba.np.ufunc.dufunc.DUFunc": _compiled,
    "numba.core.ccallback.CFunc": _callback,
    "numba.stencils.stencil.StencilFunc": _stencil,
    "jaxlib._jax.PjitFunction": _jitted,
    "jaxlib.xla_extension.PjitFunction": _jitted,
}
