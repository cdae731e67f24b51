"""The canonical forms of objects of installed packages that pickle more or less than counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .first_values import MISSING
from .forms import PARTS, Fields, Form
from .kinds import attributes_of, name_of

if TYPE_CHECKING:
    from .forms import AnyWriter
    from .watch import Seen


def parts(tag: bytes, *names: str) -> Callable[[Any, AnyWriter], Form]:
    return lambda value, writer: Form(tag, PARTS, [getattr(value, name) for name in names])


def _typed(tag: bytes, *names: str) -> Callable[[Any, AnyWriter], Form]:
    """As `parts`, with the class: there are several that differ in nothing else."""
    return lambda value, writer: Form(
        tag, PARTS, [type(value), *(getattr(value, name) for name in names)]
    )


def _attributes(tag: bytes, *names: str) -> Callable[[Any, AnyWriter], Form]:
    return lambda value, writer: Form(tag, PARTS, [*map(attributes_of(value).get, names)])


def _without(memo: str) -> Callable[[Any, AnyWriter], Form]:
    """Makes the form of objects but for an attribute in which they keep what was computed."""

    def form(value: Any, writer: AnyWriter) -> Form:
        state = {name: each for name, each in attributes_of(value).items() if name != memo}
        return Form(b"O", PARTS, (type(value), (), Fields(state), None, None), ("",) * 5)

    return form


def _made_of(*names: str) -> Callable[[Any, AnyWriter], Form]:
    """Makes the form of objects that are written in C by attributes in place of their pickle."""

    def form(value: Any, writer: AnyWriter) -> Form:
        args = tuple(getattr(value, name) for name in names)
        return Form(b"o", PARTS, (type(value), args, None, None, None), ("",) * 5)

    return form


def _nested(value: Any, writer: AnyWriter) -> Form:
    """A schema that is named by a text counts with the classes that marshmallow finds by it."""
    state = dict(attributes_of(value))
    registry = attributes_of(sys.modules.get("marshmallow.class_registry")).get("_registry")
    if type(state.get("nested")) is str and type(registry) is dict:
        state["nested"] = [state["nested"], *registry.get(state["nested"], ())]
    return Form(b"O", PARTS, (type(value), (), Fields(state), None, None), ("",) * 5)


def setting_of(value: Any, chain: tuple[str, ...], seen: Seen) -> Any:
    """Finds what is behind an attribute of the settings of Django: modules of the user say it."""
    if not chain or name_of(type(value)) != "django.conf.LazySettings":
        return MISSING
    name = chain[0]
    place, step = "django.conf:settings", "_wrapped"
    held = attributes_of(value)
    while name not in held or step == "_wrapped":
        holder = held.get(step)
        if holder is None:
            return MISSING
        seen.name(held, step, holder)
        held, place, step = attributes_of(holder), f"{place}.{step}", "default_settings"
    seen.name(held, name, held[name])
    seen.places[id(held)] = place
    return held[name]


# By name, so that nothing has to be imported to ask.
BY_NAME: dict[str, Callable[[Any, Any], Form]] = {
    # It pickles what it was compiled to, in an order that depends on hashes.
    "_regex.Pattern": parts(b"!regex;", "pattern", "flags", "named_lists"),
    # Without its handlers and levels, which the program sets up.
    "loguru._logger.Logger": parts(b"!logger;", "_options"),
    # Every configuration that Hydra composes holds what time it was.
    "omegaconf.base.Metadata": _without("resolver_cache"),
    "omegaconf.base.ContainerMetadata": _without("resolver_cache"),
    # Each time it is pickled it counts up.
    "matplotlib.cbook.CallbackRegistry": _attributes(b"!callbacks;", "_signals"),
    # Its tables have another order in each process.
    "lark.lark.Lark": _attributes(b"!lark;", "source_grammar", "options", "rules", "terminals"),
    "marshmallow.fields.Nested": _nested,
    # It pickles bytes of its own in which sets have another order in each process.
    "spacy.vocab.Vocab": _made_of("strings", "vectors", "morphology", "lex_attr_getters",
                                  "lookups", "get_noun_chunks"),
    # Its nodes are written with their addresses.
    **dict.fromkeys(("scipy.spatial._ckdtree.cKDTree", "scipy.spatial._kdtree.KDTree"),
                    _typed(b"!kdtree;", "data", "leafsize", "boxsize", "indices")),
    # It keeps the line where its function begins.
    "joblib.memory.MemorizedFunc": _attributes(b"!memorized;", "func", "ignore", "mmap_mode",
                                               "cache_validation_callback"),
    # It pickles as the name of a function that it decorates.
    **dict.fromkeys(("toolz.functoolz.curry", "cytoolz.functoolz.curry"),
                    _typed(b"!curry;", "func", "args", "keywords")),
}  # fmt: skip
