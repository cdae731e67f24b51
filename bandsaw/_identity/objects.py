"""The canonical forms of objects: values of the standard library, code, and whatever pickles."""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional, Union

from .._system.importing import late_import
from . import compiled, installed
from .bulk_data import open_array, open_numpy, open_ufunc, written_buffer
from .compiled_modules import open_global
from .firstparty import canonical_module_name
from .forms import FIELDS, PARTS, SEQUENCE, SET, Fields, Form, NoForm, Written, flat, mapping
from .installed import parts
from .kinds import attributes_of, by_kind, is_a, is_changeable, module_of, name_of, qualname_of

if TYPE_CHECKING:
    from .forms import AnyWriter

Opened = Union[bytes, Form]
Maker = Callable[[Any, Any], Opened]

_CODE = (type, types.FunctionType, types.ModuleType, types.CodeType)
_METHOD_STEPS = (".__func__", ".__self__")
# As many elements of one type are written at once.
_FLAT = 16
_PARTIAL_STEPS = (".func", ".args", ".keywords", "")
_OF_TABLES = frozenset(("pandas", "pyarrow", "torch", "xarray"))


def open_form(value: Any, writer: AnyWriter) -> Union[bytes, Form]:
    """Opens a value that is no leaf; returns bytes where there is nothing more to open."""
    kind = type(value)
    # A metaclass may define `__hash__`.
    maker = FORMS.get(kind) if type(kind) is type else None
    if maker is not None:
        return maker(value, writer)
    return _open_object(value, writer)


def _open_object(value: Any, writer: AnyWriter) -> Opened:
    kind = type(value)
    if writer.hook is not None and not is_a(value, _CODE):
        replaced = writer.replaced(value)
        if replaced is not NotImplemented:
            return Form(b"!hook;", PARTS, (kind, replaced))
    maker: Optional[Maker] = by_kind(_BY_TYPE, kind) or _by_name(kind)
    if maker is not None:
        return maker(value, writer)
    if is_a(value, (type, types.ModuleType)):
        return writer.code_form(value)
    opened: Optional[Opened] = open_numpy(value, writer)
    if opened is None and module_of(kind).partition(".")[0] in _OF_TABLES:
        with late_import:
            from .tables import open_table

        opened = open_table(value, writer)
    if opened is None:
        opened = compiled.open_proxy(value)
    if opened is not None:
        return opened
    enum = sys.modules.get("enum")
    if enum is not None and is_a(value, enum.Enum):
        return _enum(value)
    tasks: Any = sys.modules.get(f"{__package__.rpartition('.')[0]}.tasks")
    if tasks is not None and type(value) in (tasks._FunctionTask, tasks._FunctionWithClosureTask):
        return _task(value)
    if is_a(value, (set, frozenset)):
        base: Any = set if is_a(value, set) else frozenset
        state = _state(attributes_of(value))
        return Form(b"!set;", PARTS, (kind, frozenset(base.__iter__(value)), state))
    with late_import:
        from .reduced import open_reduced

    return open_reduced(value)


def _task(value: Any) -> Form:
    """Opens the object that `bandsaw_task` is: its own id may be the one that is being made."""
    kwargs = value.kwargs
    function: Any = str(value)
    if "version" not in kwargs:
        with contextlib.suppress(Exception):
            function = value.function  # in a copy from another process it is found by its name
    return Form(b"!taskobject;", PARTS, (function, kwargs))


def _state(values: Any) -> Any:
    return Fields(values) if values else None


def _enum(value: Any) -> Form:
    kind, stored = type(value), attributes_of(value)
    name = stored.get("_name_")
    if name in attributes_of(kind).get("_member_map_", ()):
        return Form(b"!enum;", PARTS, (kind, name))
    return Form(b"!flag;", PARTS, (kind, stored.get("_value_")))


def _builtin_function(value: Any, writer: AnyWriter) -> Opened:
    owner = value.__self__
    if owner is None or is_a(owner, types.ModuleType):
        module = value.__module__ or getattr(owner, "__name__", None)
        return open_global(module, value.__qualname__)
    return Form(b"!method;", PARTS, (owner, value.__name__))


def _code(value: Any, writer: AnyWriter) -> Opened:
    return writer.code_form(value)


def _partial(value: Any, writer: AnyWriter) -> Form:
    parts = (value.func, value.args, value.keywords, _state(value.__dict__))
    return Form(b"!partial;", PARTS, parts, _PARTIAL_STEPS)


def _property(value: Any, writer: AnyWriter) -> Form:
    parts = (value.fget, value.fset, value.fdel)
    return Form(b"!property;", PARTS, parts, (".fget", ".fset", ".fdel"))


def _lru_cache(value: Any, writer: AnyWriter) -> Form:
    return Form(b"!lru_cache;", PARTS, (value.__wrapped__, value.cache_parameters()))


_descriptor = parts(b"!descriptor;", "__objclass__", "__name__")
_BY_TYPE: dict[type, Maker] = {
    **dict.fromkeys(_CODE, _code),
    types.BuiltinFunctionType: _builtin_function,
    types.MethodType: lambda value, writer: Form(
        b"!method;", PARTS, (value.__func__, value.__self__), _METHOD_STEPS
    ),
    types.MethodWrapperType: parts(b"!method;", "__self__", "__name__"),
    types.MethodDescriptorType: _descriptor,
    types.WrapperDescriptorType: _descriptor,
    types.ClassMethodDescriptorType: _descriptor,
    types.GetSetDescriptorType: _descriptor,
    types.MemberDescriptorType: _descriptor,
    types.MappingProxyType: lambda value, writer: mapping(b"!mappingproxy;", value),
    functools.partial: _partial,
    property: _property,
    staticmethod: parts(b"!staticmethod;", "__func__"),
    classmethod: parts(b"!classmethod;", "__func__"),
    type(functools.lru_cache(len)): _lru_cache,
    # Without what it keeps of the objects for which it was called.
    functools.singledispatchmethod: parts(b"!singledispatchmethod;", "func", "dispatcher"),
    functools.cached_property: parts(b"!cached_property;", "func"),
}


def _sequence(tag: bytes) -> Callable[[Any, AnyWriter], Union[bytes, Form]]:
    flat_tag = b"v" + tag

    def form(value: Any, writer: AnyWriter) -> Union[bytes, Form]:
        if len(value) >= _FLAT and (not writer.is_careful or all(map(_is_plain, value))):
            written = flat(value)
            if written is not None:
                return b"%b%d:%b" % (flat_tag, len(value), written)
        return Form(tag, SEQUENCE, value)

    return form


def _dict(value: dict[Any, Any], writer: AnyWriter) -> Form:
    is_addressed = type(next(iter(value), None)) is int and not writer.is_careful
    if is_addressed and all(type(k) is int and k == id(each) for k, each in value.items()):
        # As transforms of matplotlib know each other: the keys are others in each process.
        return Form(b"!addressed;", PARTS, list(value.values()))
    if "__spec__" in value:
        name = value.get("__name__")
        home = sys.modules.get(name) if type(name) is str else None
        if attributes_of(home) is value:  # what `globals()` gave: its loader differs elsewhere
            return Form(b"!variables;", PARTS, (home,))
    return mapping(b"d", value)


def _is_plain(value: Any) -> bool:
    # Classes are told apart by their hash, which a metaclass may define.
    return type(type(value)) is type


def _fields(value: Fields, writer: AnyWriter) -> Form:
    values = value.values
    if "__wrapped__" in values:  # the rest is of a function that it wraps, where it does not count
        values = {name: each for name, each in values.items() if name not in _OF_WRAPPED}
    return mapping(b"A", values, FIELDS)


def _bytes(tag: bytes) -> Callable[[Any, AnyWriter], bytes]:
    def form(value: Any, writer: AnyWriter) -> bytes:
        return tag + written_buffer(value, writer)

    return form


def _range(value: range, writer: AnyWriter) -> Form:
    # Equal ranges may have been made of different numbers.
    if not value:
        return Form(b"R", PARTS, ())
    last = value[-1]
    return Form(b"R", PARTS, (value.start, last) if value.start == last else
                (value.start, last, value.step))  # fmt: skip


def _slice(value: slice, writer: AnyWriter) -> Form:
    return Form(b"L", PARTS, (value.start, value.stop, value.step), (".start", ".stop", ".step"))


FORMS: dict[type, Callable[[Any, Any], Union[bytes, Form]]] = {
    list: _sequence(b"l"),
    tuple: _sequence(b"t"),
    dict: _dict,
    set: lambda value, writer: Form(b"S", SET, list(value)),
    frozenset: lambda value, writer: Form(b"Z", SET, list(value)),
    bytes: _bytes(b"b"),
    bytearray: _bytes(b"B"),
    memoryview: _bytes(b"M"),
    Fields: _fields,
    Written: lambda value, writer: value.data,
    Form: lambda value, writer: value,
    range: _range,
    slice: _slice,
}


def _path(value: Any, writer: AnyWriter) -> Form:
    return Form(b"!path;", PARTS, (type(value).__name__, str(value)))


def _logger(value: Any, writer: AnyWriter) -> Form:
    # That of a script has another name where the script is imported.
    return Form(b"!logger;", PARTS, (canonical_module_name(value.name),))


def _file(value: Any, writer: AnyWriter) -> bytes:
    return b"!file;" + value.digest()  # type: ignore[no-any-return]


def _no_form(reason: str) -> Callable[[Any, AnyWriter], Opened]:
    def form(value: Any, writer: AnyWriter) -> Opened:
        raise NoForm(reason)

    return form


def _alias(value: Any, writer: AnyWriter) -> Form:
    metadata = getattr(value, "__metadata__", None)
    # `typing.List` and `list` have one origin. Other names differ between versions.
    has_name = is_a(value.__origin__, type) and metadata is None
    name = getattr(value, "_name", None) if has_name else None
    return Form(b"!alias;", PARTS, (name, value.__origin__, value.__args__, metadata))


_time = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")
_OF_WRAPPED = frozenset(("__doc__", "__annotations__", "__annotate__", "__type_params__"))
_WEAK = ("weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "weakref.WeakSet")
_ALIAS_TYPES = ("typing._GenericAlias", "typing._UnionGenericAlias", "typing._LiteralGenericAlias",
                "typing._AnnotatedAlias", "typing._CallableGenericAlias", "types.GenericAlias",
                "typing._ConcatenateGenericAlias", "typing._UnpackGenericAlias")  # fmt: skip

# By name, so that nothing has to be imported to ask. Their reduced forms differ between the
# versions of Python, or say less or more than their value.
_BY_NAME: dict[str, Maker] = {
    "datetime.date": parts(b"!date;", "year", "month", "day"),
    "datetime.time": parts(b"!time;", *_time),
    "datetime.datetime": parts(b"!datetime;", "year", "month", "day", *_time),
    "datetime.timedelta": parts(b"!timedelta;", "days", "seconds", "microseconds"),
    "decimal.Decimal": lambda value, writer: Form(b"!decimal;", PARTS, (str(value),)),
    "fractions.Fraction": parts(b"!fraction;", "numerator", "denominator"),
    # Which methods written in C are of this type differs between versions of Python.
    "builtins.builtin_method": _builtin_function,
    "uuid.UUID": parts(b"!uuid;", "int"),
    "_struct.Struct": parts(b"!struct;", "format"),
    "re.Pattern": parts(b"!pattern;", "pattern", "flags"),
    "array.array": open_array,
    "pickle.PickleBuffer": lambda value, writer: b"!buffer;" + written_buffer(value, writer),
    "collections.OrderedDict": lambda value, writer: Form(
        b"!ordered;", PARTS, (list(value.items()), _state(getattr(value, "__dict__", None)))
    ),
    "logging.Logger": _logger,
    "logging.RootLogger": parts(b"!logger;", "name"),
    "logging.LoggerAdapter": parts(b"!adapter;", "logger", "extra"),
    **compiled.BY_NAME,
    **installed.BY_NAME,
    "numpy.ufunc": open_ufunc,
    "types.UnionType": lambda value, writer: Form(b"!union;", SEQUENCE, value.__args__),
    "builtins.dict_keys": lambda value, writer: Form(b"!keys;", SET, list(value)),
    "builtins.dict_items": lambda value, writer: Form(b"!items;", SET, list(value)),
    "builtins.dict_values": lambda value, writer: Form(b"!values;", SEQUENCE, list(value)),
    **dict.fromkeys(_WEAK, _no_form("it changes with what is alive")),
    f"{__name__.partition('.')[0]}._file.File": _file,
    **dict.fromkeys(_ALIAS_TYPES, _alias),
    **{f"{module}.{flavour}{name}": _path
       for module in ("pathlib", "pathlib._local")
       for flavour in ("PurePosix", "PureWindows", "Posix", "Windows") for name in ("Path",)},
}  # fmt: skip


def _by_name(kind: type) -> Any:
    maker = _BY_NAME.get(name_of(kind))
    if maker is not None and is_changeable(kind):
        # A class of another module can claim to be one of these.
        home: Any = sys.modules.get(module_of(kind))
        return maker if attributes_of(home).get(qualname_of(kind)) is kind else None
    return maker
