"""Ids follow what decorators of installed packages make of functions, methods and classes."""

import importlib
import itertools
import sys
import textwrap

import pytest

from bandsaw.fingerprint import execution_id_of, fingerprint, is_current

# As the compiled part of wrapt has them.
WRAPPERS = """
class ObjectProxy:
    __slots__ = ("__wrapped__",)
    def __init__(self, wrapped):
        self.__wrapped__ = wrapped
    @property
    def __class__(self):
        return type(self.__wrapped__)
    def __reduce__(self):
        raise NotImplementedError("object proxy must define __reduce__()")

class _FunctionWrapperBase(ObjectProxy):
    __slots__ = ("_self_wrapper",)
    def __init__(self, wrapped, wrapper):
        super().__init__(wrapped)
        self._self_wrapper = wrapper
    def __call__(self, *args):
        return self._self_wrapper(self.__wrapped__, args)
    def __get__(self, instance, owner=None):
        return lambda *args: self(instance, *args)

class FunctionWrapper(_FunctionWrapperBase):
    __slots__ = ()

def decorator(wrapper):
    return FunctionWrapper(wrapper, lambda wrapped, args: FunctionWrapper(args[0], wrapped))
"""
# They pickle by the name of what they decorate.
NAMED = """
import functools

class Cached:
    def __init__(self, function):
        functools.update_wrapper(self, function)
    def __call__(self, *args):
        return self.__wrapped__(*args)
    def __reduce__(self):
        return self.__qualname__
"""
CURRY = """
class curry:
    def __init__(self, func, *args, **keywords):
        self._func, self.args, self.keywords = func, args, keywords
    @property
    def func(self):
        return self._func
    def __reduce__(self):
        return curry, (f"{self.func.__module__}:{self.func.__qualname__}", *self.args)
"""
TWICE = """
import _wrappers
def after(x): return x + 3
@_wrappers.decorator
def twice(wrapped, args):
    return after(wrapped(*args)) * 2
"""
CASES = {
    "a proxy around a function": TWICE + "@twice\ndef g(x): return helper(x)",
    "a proxy around a method": TWICE
    + "class K:\n    @twice\n    def g(self, x): return helper(x)\ndef g(x): return K().g(x)",
    "an own class of proxies": TWICE
    + "class P(_wrappers.ObjectProxy):\n    def __call__(self, x): return after(x) * 2\n"
    + "g = P(helper)",
    "an object with the name of a function": "import named\n"
    + "def after(x): return (x + 3) * 2\n@named.Cached\ndef g(x): return after(helper(x))",
    "a function that was given some arguments": "import toolz.functoolz\n"
    + "def after(n, x): return helper(x) + 3 * 2\ng = toolz.functoolz.curry(after, 1)",
}
numbers = itertools.count()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Imports what a text makes, beside packages like wrapt, toolz and cachetools."""
    site = tmp_path / "lib" / "site-packages"
    (site / "toolz").mkdir(parents=True)
    (site / "_wrappers.py").write_text(WRAPPERS)
    (site / "named.py").write_text(NAMED)
    (site / "toolz" / "__init__.py").write_text("")
    (site / "toolz" / "functoolz.py").write_text(CURRY)
    monkeypatch.syspath_prepend(str(site))
    names = "_wrappers", "named", "toolz", "toolz.functoolz", "decorated"
    sys_modules = {name: sys.modules.pop(name, None) for name in names}

    def made(text):
        folder = tmp_path / f"state{next(numbers)}"
        folder.mkdir()
        (folder / "decorated.py").write_text(textwrap.dedent(text))
        sys.modules.pop("decorated", None)
        monkeypatch.syspath_prepend(str(folder))
        return importlib.import_module("decorated")

    yield made
    for name, module in sys_modules.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_a_decorator_has_put_into_an_object_counts(made, case):
    text = "def helper(x): return x + 1\n" + CASES[case] + "\ndef f(x): return g(x)\n"
    first, again = (fingerprint(made(text).f) for _ in range(2))
    assert first == again
    for old, new in ("x + 1", "x + 2"), ("* 2", "* 4"), ("+ 3", "- 3"):
        assert old in text
        assert fingerprint(made(text.replace(old, new)).f) != first, (old, new)


def test_what_a_proxy_wraps_counts_where_it_is_the_task_or_an_argument(made):
    text = TWICE + "@twice\ndef g(x): return x + 1\n"
    for ids in fingerprint, lambda each: execution_id_of({"a": each}):
        first = ids(made(text).g)
        assert first == ids(made(text).g)
        assert first != ids(made(text.replace("x + 1", "x + 2")).g)
        assert first != ids(made(text.replace("* 2", "* 4")).g)


def test_the_memo_of_a_decorator_is_no_code_and_what_it_was_given_is(made, tmp_path):
    (tmp_path / "lib" / "site-packages" / "named.py").write_text(
        """
def memoized(options):
    known = {}
    def decorate(function):
        def wrapper(x):
            if x not in known:
                known[x] = function(x) * options["factor"]
            return known[x]
        return wrapper
    return decorate
"""
    )
    module = made(
        """
        import named
        OPTIONS = {"factor": 2}
        @named.memoized(OPTIONS)
        def g(x): return x + 1
        def f(x): return g(x)
        """
    )
    before = fingerprint(module.f)
    assert module.f(1) == 4 and is_current(module.f)
    assert fingerprint(module.f) == before
    module.OPTIONS["factor"] = 3
    assert not is_current(module.f) and fingerprint(module.f) != before
