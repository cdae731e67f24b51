"""How each kind of definition is written."""

from __future__ import annotations

from .definitions import CALLABLE

CONFIGURATION = "configuration_of_generated_programs"


def used(definition, name, write):
    """What a body does with something that it refers to."""
    kind = definition.kind
    if kind in CALLABLE or kind in ("maker", "decorator"):
        return write.call(name, "x")
    if kind == "class":
        return f"{write.call(name, 'x')}.get()"
    if kind == "dataclass":
        return f"{write.call(name)}.first"
    if kind == "enum":
        return f"{name}.A"
    if kind in ("row", "pair"):
        return write.call(name, "x", "x")
    if kind == "instance":
        return f"{name}.get(x)"
    if kind == "registry":
        return f"{name}[{write.literal('one')}]"
    return name


def indented(lines):
    return [line and "    " + line for line in lines]


def _parameters(d, write, early):
    default = early[0] if early else write.literal(d.literals[0])
    last = write.literal(d.literals[3])
    if d.style.annotated:
        kind = ("int", "'list[int]'")[d.style.annotated - 1]
        return f"x: {kind}, y: {kind} = {default}, *, z: {kind} = {last}"
    return f"x, y={default}, *, z={last}"


def _function(program, d, write, early, before=(), head="def"):
    returns = " -> typing.Any" if d.style.annotated == 2 else ""
    parameters = _parameters(d, write, early)
    return [
        *before,
        f"{head} {d.name}({parameters}){returns}:{write.comment()}",
        *program.body(d, write),
    ]


def _task(program, d, write, early):
    note = f", note={write.style.number}" if write.style.number else ""
    line = f"@bandsaw.task(config={CONFIGURATION!r}{note})"
    return _function(program, d, write, early, [line])


def _decorated(program, d, write, early):
    return _function(program, d, write, early[1:], [f"@{early[0]}"])


def _cached(program, d, write, early):
    line = f"@functools.lru_cache(maxsize={write.literal(len(repr(d.literals[0])))})"
    return _function(program, d, write, early, [line])


def _managed(program, d, write, early):
    return _function(program, d, write, early, ["@contextlib.contextmanager"])


def _async(program, d, write, early):
    return _function(program, d, write, early, head="async def")


def _maker(program, d, write, early):
    inner = [f"def inner(x):{write.comment()}", *program.body(d, write, subject="n, x")]
    return [f"def {d.name}(n):", *indented([*write.docstring(), *inner, "return inner"])]


def _decorator(program, d, write, early):
    wraps = ["@functools.wraps(function)"] if d.template % 2 else []
    body = program.body(d, write, subject="function(*x)")
    inner = [*wraps, f"def wrapper(*x):{write.comment()}", *body]
    return [f"def {d.name}(function):", *indented([*write.docstring(), *inner, "return wrapper"])]


def _class(program, d, write, early):
    base = f"({early[0]})" if early else ""
    wrapper, first = (("", "self, "), ("@staticmethod", ""), ("@classmethod", "cls, "),
                      ("@property", "self, "))[d.template % 4]  # fmt: skip
    method = [wrapper] * bool(wrapper) + [f"def method({first}x=3):{write.comment()}"]
    lines = [
        *write.docstring(),
        f"size = {write.literal(d.literals[0])}",
        *([f"more = {write.literal(d.literals[3])}"] * d.extra),
        "def __init__(self, x):",
        f"    self.x = x, {write.group(write.literal(d.literals[3]))}",
        *method,
        *program.body(d.changed(extra=False), write),
        "def get(self):",
        "    return self.x, self.size, self.method",
    ]
    return [f"class {d.name}{base}:", *indented(lines)]


def _dataclass(program, d, write, early):
    default = write.literal(d.literals[0])
    lines = [
        *write.docstring(),
        f"first: object = dataclasses.field(default_factory=lambda: {default})",
        f"second: int = {write.literal(len(repr(d.literals[3])))}{write.comment()}",
        *(["third: int = 3"] * d.extra),
        "def get(self, x):",
        *program.body(d.changed(extra=False), write),
    ]
    return ["@dataclasses.dataclass", f"class {d.name}:", *indented(lines)]


def _constant(program, d, write, early):
    value = write.literal(d.literals[0], may_reorder=True)
    return [f"{d.name} = {write.group(value)}{write.comment()}"]


def _derived(program, d, write, early):
    return [f"{d.name} = [{early[0]}, {write.group(write.literal(d.literals[0]))}]"]


def _closure(program, d, write, early):
    return [f"{d.name} = {write.call(early[0], write.literal(d.literals[0]))}"]


def _partial(program, d, write, early):
    named = f"y={write.literal(d.literals[3])}"
    value = write.call("functools.partial", early[0], write.literal(d.literals[0]), named)
    return [f"{d.name} = {value}"]


def _instance(program, d, write, early):
    return [f"{d.name} = {write.call(early[0], write.literal(d.literals[0]))}"]


def _registry(program, d, write, early):
    keys = ("one", "two", "three")
    pairs = [f"{write.literal(key)}: {name}" for key, name in zip(keys, early)]
    pairs.append(f"{write.literal('rest')}: {write.literal(d.literals[0])}")
    return [f"{d.name} = {{{', '.join(pairs[::-1] if write.style.reordered else pairs)}}}"]


def _enum(program, d, write, early):
    members = [f"{name} = {write.literal(value)}" for name, value in zip("AB", d.literals)]
    more = ["C = 3.5"] * d.extra
    return [f"class {d.name}(enum.Enum):", *indented([*write.docstring(), *members, *more])]


def _row(program, d, write, early):
    lines = ["first: int", f"second: int = {write.literal(d.literals[0])}"]
    more = ["third: int = 3"] * d.extra
    return [f"class {d.name}(typing.NamedTuple):", *indented([*write.docstring(), *lines, *more])]


def _pair(program, d, write, early):
    names = write.literal("first second" + " third" * d.extra)
    return [f"{d.name} = {write.call('collections.namedtuple', write.literal(d.name), names)}"]


def _counter(program, d, write, early):
    return [
        f"{d.name}_count = {write.literal(d.literals[0])}",
        f"def {d.name}(x):{write.comment()}",
        f"    global {d.name}_count",
        f"    {d.name}_count += 1",
        f"    return x, {d.name}_count, {write.literal(d.literals[1])}",
    ]


WRITERS = {
    "function": _function, "task": _task, "decorated": _decorated, "cached": _cached,
    "async": _async, "managed": _managed, "maker": _maker, "decorator": _decorator,
    "class": _class, "dataclass": _dataclass, "constant": _constant, "derived": _derived,
    "closure": _closure, "partial": _partial, "instance": _instance, "registry": _registry,
    "enum": _enum, "row": _row, "pair": _pair, "counter": _counter,
}  # fmt: skip
