"""The arguments of the calls of one function: bound, written, and made into ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Optional

from .._system.importing import late_import
from ..identifier import identifier_from_bytes
from .canonical import CodeForm, Hook, Writer, as_leaf
from .forms import LEAVES, write_str
from .kinds import attributes_of

_DIGITS = 16


class Arguments:
    """What is known of a function's parameters, read once."""

    __slots__ = ("_function_digest", "bind")

    def __init__(
        self, function: Any, ignore: Sequence[str], function_digest: Callable[[Any], bytes]
    ) -> None:
        # Tells which value each parameter gets; see `binder`.
        self.bind = binder(function, ignore)
        self._function_digest = function_digest

    def write(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        hook: Optional[Hook] = None,
        bulk_hash: Optional[str] = None,
    ) -> dict[str, bytes]:
        bound = self.bind(tuple(args), kwargs)
        return write_arguments(bound, self._function_digest, hook, bulk_hash)

    @staticmethod
    def id_of(written: Mapping[str, bytes]) -> str:
        return identifier_from_bytes(joined_arguments(written))

    @staticmethod
    def digests_of(written: Mapping[str, bytes]) -> dict[str, str]:
        """Makes a digest of 16 digits of each argument, to see which differ between two calls."""
        return {name: sha256(form).hexdigest()[:_DIGITS] for name, form in written.items()}


def write_arguments(
    arguments: Mapping[str, Any],
    function_digest: Callable[[Any], bytes],
    hook: Optional[Hook] = None,
    bulk_hash: Optional[str] = None,
) -> dict[str, bytes]:
    """Writes arguments, each by itself, so that they cannot see that they share anything."""
    code_form: Optional[CodeForm] = None
    written = {}
    for name in sorted(arguments):
        value = arguments[name]
        leaf = LEAVES.get(type(value))
        if leaf is not None:
            written[name] = leaf(value)
            continue
        code_form = code_form or as_leaf(function_digest)
        writer = Writer(code_form, name=name, hook=hook, bulk_hash=bulk_hash)
        written[name] = writer.write(value)
    return written


def joined_arguments(written: Mapping[str, bytes]) -> bytes:
    """Joins what `write_arguments` returned."""
    return b"".join([_write_name(name) + form for name, form in written.items()])


# The names of parameters come again with every call.
_write_name = lru_cache(maxsize=4096)(write_str)


Binder = Callable[[tuple[Any, ...], Mapping[str, Any]], dict[str, Any]]

# Names that no parameter can have, for arguments that do not fit the signature.
RAW_POSITIONAL = "*"
RAW_KEYWORDS = "**"


def binder(function: Any, ignore: Iterable[str] = ()) -> Binder:
    """Makes the function that binds the arguments of calls.

    Made once per function, because reading a signature takes a hundred times as long as a call of
    what is made here.

    Returns a function of the positional and the keyword arguments of a call. It returns a dict from
    the names of the parameters to their values, in the order of the signature, with defaults
    applied: `*args` as a tuple, `**kwargs` as a dict. Arguments that do not fit the signature are
    returned as they are, under `'*'` and `'**'`, because it is the function's own call that has to
    fail.

    Where what wraps a function may give another value than the default for a parameter that is left
    out, no default is applied.
    """
    with late_import:
        import inspect

    signature = function if isinstance(function, inspect.Signature) else inspect.signature(function)
    ignored = _checked(ignore, signature.parameters)
    has_defaults = True
    if not {"__wrapped__", "__signature__"}.isdisjoint(attributes_of(function)):
        with late_import:
            from .wrappers import applies_defaults

        has_defaults = applies_defaults(function, signature)
    required: list[str] = []
    positional: list[str] = []
    names: list[str] = []
    defaults: dict[str, Any] = {}
    keyword_allowed: set[str] = set()
    rest_name: Any = None
    keywords_name: Any = None
    for name, parameter in signature.parameters.items():
        names.append(name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest_name = name
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            keywords_name = name
            continue
        if parameter.kind is not parameter.KEYWORD_ONLY:
            positional.append(name)
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            keyword_allowed.add(name)
        if parameter.default is parameter.empty:
            required.append(name)
        else:
            defaults[name] = parameter.default
    count = len(positional)
    plain = rest_name is None and keywords_name is None and not ignored

    def bind(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if plain and not kwargs and len(args) == count == len(names):
            return dict(zip(names, args))
        bound = dict(zip(positional, args))
        if len(args) > count and rest_name is None:
            return {RAW_POSITIONAL: tuple(args), RAW_KEYWORDS: dict(kwargs)}
        extra: dict[str, Any] = {}
        for name, value in kwargs.items():
            if name in keyword_allowed and name not in bound:
                bound[name] = value
            elif keywords_name is not None and name not in keyword_allowed:
                extra[name] = value
            else:
                return {RAW_POSITIONAL: tuple(args), RAW_KEYWORDS: dict(kwargs)}
        for name in required:
            if name not in bound:
                return {RAW_POSITIONAL: tuple(args), RAW_KEYWORDS: dict(kwargs)}
        if rest_name is not None:
            bound[rest_name] = tuple(args[count:])
        if keywords_name is not None:
            bound[keywords_name] = extra
        return {
            name: bound[name] if name in bound else defaults[name]
            for name in names
            if name not in ignored and (has_defaults or name in bound)
        }

    return bind


def _checked(ignore: Iterable[str], parameters: Mapping[str, Any]) -> frozenset[str]:
    ignored = frozenset([ignore] if isinstance(ignore, str) else ignore)
    unknown = sorted(str(name) for name in ignored if name not in parameters)
    if unknown:
        from ..errors import InvalidValueError

        known = ", ".join(repr(name) for name in parameters) or "none"
        raise InvalidValueError(
            f"'ignore' names {', '.join(map(repr, unknown))}, which the function does not have; "
            f"its parameters are: {known}."
        )
    return ignored
