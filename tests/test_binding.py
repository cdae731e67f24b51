"""Arguments bound to the names of parameters."""

import functools
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandsaw._identity.arguments import binder
from bandsaw.errors import InvalidValueError


def f(a, b, /, c, d=4, *rest, e, g=7, **others):
    return locals()


def simple(a, b=2, *, c=3):
    """Has the usual kinds of parameters."""


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, 2), {}),
        ((1,), {"b": 2}),
        ((), {"b": 2, "a": 1}),
        ((1,), {"c": 3}),
        ((), {"c": 3, "b": 2, "a": 1}),
    ],
)
def test_one_mapping_however_the_arguments_are_passed(args, kwargs):
    assert list(binder(simple)(args, kwargs).items()) == [("a", 1), ("b", 2), ("c", 3)]


def test_every_kind_of_parameter_is_named():
    bound = binder(f)((1, 2, 3, 4, 5, 6), {"e": 1, "a": 9, "z": 8})
    assert bound == {
        "a": 1, "b": 2, "c": 3, "d": 4, "rest": (5, 6), "e": 1, "g": 7, "others": {"a": 9, "z": 8},
    }  # fmt: skip


@given(
    st.lists(st.integers(), max_size=7),
    st.dictionaries(st.sampled_from("abcdeghrest"), st.integers()),
)
def test_binding_agrees_with_a_call(args, kwargs):
    try:
        bound = f(*args, **kwargs)
    except TypeError:
        assert binder(f)(tuple(args), kwargs) == {"*": tuple(args), "**": kwargs}
    else:
        assert binder(inspect.signature(f))(tuple(args), kwargs) == bound


def passing(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def run(function, /, *args, **kwargs):
    return function(*args, **kwargs)


def running(function):
    @functools.wraps(function)
    async def wrapper(first, *rest, **options):
        return await run(function, first, *rest, **options)

    return wrapper


def setting(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        kwargs.setdefault("b", 5)
        return function(*args, **kwargs)

    return wrapper


def merging(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **{"b": 5, **kwargs})

    return wrapper


def putting_first(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(0, *args, **kwargs)

    return wrapper


def with_another_default(function):
    @functools.wraps(function)
    def wrapper(a, b=5, *, c=3):
        return function(a, b, c=c)

    return wrapper


def with_a_signature(function):
    def wrapper(a, b=5, *, c=3):
        return function(a, b, c=c)

    wrapper.__signature__ = inspect.signature(function)
    return wrapper


@pytest.mark.parametrize("decorators", [[passing], [running], [passing, running, passing]])
def test_defaults_are_applied_below_what_passes_its_arguments_on(decorators):
    function = simple
    for decorator in decorators:
        function = decorator(function)
    assert binder(function)((1,), {}) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    "decorator", [setting, merging, putting_first, with_another_default, with_a_signature]
)
def test_no_default_is_applied_where_a_wrapper_may_give_another_value(decorator):
    for function in (decorator(simple), passing(decorator(simple)), decorator(passing(simple))):
        bind = binder(function)
        assert bind((1,), {}) == bind((), {"a": 1}) == {"a": 1}
        assert bind((1, 2), {}) == bind((1,), {"b": 2}) == {"a": 1, "b": 2}


def test_arguments_that_do_not_fit_are_kept_as_they_are():
    for args, kwargs in [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"x": 1})]:
        assert binder(simple)(args, kwargs) == {"*": args, "**": kwargs}


def test_ignored_parameters_are_left_out():
    assert binder(simple, ["b"])((1, 5), {}) == {"a": 1, "c": 3}
    assert binder(f, ["rest", "others"])((1, 2, 3, 4, 5), {"e": 1, "q": 2}) == {
        "a": 1, "b": 2, "c": 3, "d": 4, "e": 1, "g": 7,
    }  # fmt: skip


def test_ignoring_an_unknown_parameter_is_an_error_that_lists_the_known_ones():
    with pytest.raises(InvalidValueError, match=r"'nope'.*'a', 'b', 'c'"):
        binder(simple, ["nope"])
