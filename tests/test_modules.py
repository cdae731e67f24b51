import collections.abc
import json
import os
import sys
import types

import pytest

from bandsaw import modules
from bandsaw.modules import (
    _guess_module_name_by_path,
    get_loaded_module_name_by_path,
    import_object,
    object_as_import,
)


class Outer:
    class Inner:
        def method(self):
            pass


def top_level():
    def local():
        pass

    return local


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (top_level, "top_level"),
        (Outer.Inner, "Outer.Inner"),
        (Outer.Inner.method, "Outer.Inner.method"),
    ],
)
def test_an_object_has_the_name_it_can_be_imported_by(obj, name):
    assert object_as_import(obj) == (name, __name__)


def test_an_object_is_imported_by_its_dotted_name():
    assert import_object("JSONDecoder.decode", "json.decoder") is json.decoder.JSONDecoder.decode


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (top_level(), "Can't import local functions."),
        (lambda: 0, "with 'def'"),
        (1, "no name and module"),
    ],
)
def test_what_has_no_name_elsewhere_is_a_value_error(obj, said):
    with pytest.raises(ValueError, match=said):
        object_as_import(obj)


def test_what_is_not_there_is_python_s_own_kind_of_error():
    with pytest.raises(AttributeError):
        import_object("not_there", "json")
    with pytest.raises(ModuleNotFoundError):
        import_object("x", "json.not_there")


def main_module(monkeypatch, **attributes):
    main = types.ModuleType("__main__")
    vars(main).update(attributes)
    monkeypatch.setitem(sys.modules, "__main__", main)
    return main


def test_an_object_of_the_script_gets_the_name_of_the_script(monkeypatch, tmp_path):
    script = tmp_path / "package" / "script.py"
    script.parent.mkdir()
    script.touch()
    main = main_module(monkeypatch, __file__=str(script), __spec__=None)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    function = types.FunctionType(top_level.__code__, vars(main), "function")
    function.__module__ = "__main__"
    main.function = function
    function.__qualname__ = "function"
    assert object_as_import(function) == ("function", "package.script")
    assert import_object("function", "package.script") is function


def test_a_script_outside_of_the_search_path_keeps_its_own_name(monkeypatch, tmp_path):
    (tmp_path / "script.py").touch()
    main_module(monkeypatch, __file__=str(tmp_path / "script.py"), __spec__=None)
    assert modules.main_module_name() == "script"


@pytest.mark.parametrize("name", ["tool", "tool.exe"])
def test_a_script_that_is_no_py_file_has_no_name(monkeypatch, tmp_path, name):
    (tmp_path / name).touch()
    main_module(monkeypatch, __file__=str(tmp_path / name), __spec__=None)
    assert modules.main_module_name() is None


def test_an_interactive_object_says_that_it_came_from_no_script(monkeypatch):
    main_module(monkeypatch, __spec__=None)
    function = types.FunctionType(top_level.__code__, {}, "function")
    function.__module__, function.__qualname__ = "__main__", "function"
    with pytest.raises(ValueError, match="not loaded from a script"):
        object_as_import(function)


def test_nothing_but_a_far_end_adopts_another_main(monkeypatch):
    main = main_module(monkeypatch, __spec__=None)
    modules.adopt_main("json")
    assert sys.modules["__main__"] is main


def test_a_far_end_loads_the_script_when_something_of_it_is_asked_for(monkeypatch):
    main_module(monkeypatch, __spec__=None, IS_FAR_END=True)
    monkeypatch.setattr(modules, "is_far_end", True)
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    monkeypatch.delitem(sys.modules, "this", raising=False)
    modules.adopt_main("this")
    assert "this" not in sys.modules
    assert modules.main_module_name() == "this"
    modules.adopt_main("this")
    with pytest.raises(AttributeError):
        sys.modules["__main__"].__not_there__  # noqa: B018  # what is tested
    assert sys.modules["__main__"].d["a"] == "n"
    assert sys.modules["__main__"] is sys.modules["this"]


def test_a_loaded_module_is_found_by_its_file(tmp_path):
    assert get_loaded_module_name_by_path(json.__file__) == "json"
    assert get_loaded_module_name_by_path(os.path.relpath(json.decoder.__file__)) == "json.decoder"
    assert get_loaded_module_name_by_path(tmp_path / "not_there.py") is None
    assert get_loaded_module_name_by_path(collections.abc.__file__) is not None


@pytest.mark.parametrize(
    ("path", "paths", "name"),
    [
        ("/a/b/c.py", ["/a"], "b.c"),
        ("/a/b/c.py", ["/x", "/a/b", "/a"], "c"),
        ("/a/b/c.py", ["/a/b/"], "c"),
        ("/a/b/__init__.py", ["/a"], "b"),
        ("/a/__init__.py", ["/a"], "__init__"),
        ("/ab/c.py", ["/a"], None),
        ("/a/b.d/c.py", ["/a"], None),
        ("/a/c.py", [], None),
    ],
)
def test_a_module_s_name_is_guessed_from_its_path(path, paths, name):
    assert _guess_module_name_by_path(path, paths) == name


def test_the_search_path_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert _guess_module_name_by_path(tmp_path / "c.py") == "c"


def test_links_in_the_search_path_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "c.py").touch()
    assert _guess_module_name_by_path(tmp_path / "real" / "c.py", [tmp_path / "link"]) == "c"


def test_only_python_files_have_a_name():
    with pytest.raises(ValueError, match=r"Invalid python module '/a/b.txt'"):
        _guess_module_name_by_path("/a/b.txt", ["/a"])
