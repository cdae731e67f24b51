"""What of a project goes into an archive: what is named, and what is reached."""

import sys
import textwrap

import pytest

from bandsaw._archive.contents import collect
from bandsaw._archive.imports import Imports
from bandsaw._archive.zipped import content_of_zip
from bandsaw.distribution import DistributionArchive
from bandsaw.errors import DistributionModuleError

CONFIGURATION = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
LISTING = """
    from bandsaw.distribution import get_distribution_archive
    import bandsaw

    def members():
        path = get_distribution_archive(bandsaw.get_configuration()).path
        import zipfile
        return {name for name in zipfile.ZipFile(path).namelist() if "bandsaw" not in name}
"""


@pytest.fixture
def members_of(project):
    """Writes a project, runs its script, and says which members the archive has that it made."""

    def members_of(files, *arguments, script):
        project.write("bandsaw_config.py", CONFIGURATION)
        project.write("listing_bandsaw.py", LISTING)
        for name, text in files.items():
            project.write(name, text)
        text = textwrap.dedent(script) + "\nimport listing_bandsaw\n"
        project.write("workflow.py", text + "print(*listing_bandsaw.members())\n")
        arguments = arguments or ("workflow.py",)
        found = project.run("-W", "ignore", *arguments).stdout.split()
        return set(found) - {"__main__.py", "workflow.py"}

    return members_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import helper", {"helper.py"}),
        ("import pack.sub as p", {"pack/__init__.py", "pack/sub.py"}),
        ("from pack import sub", {"pack/__init__.py", "pack/sub.py"}),
        ("from pack import *", {"pack/__init__.py"}),
        ("def f():\n    def g():\n        import helper", {"helper.py"}),
        ("try:\n    import helper\nexcept ImportError:\n    import not_there", {"helper.py"}),
        ("import importlib\ndef f(): importlib.import_module('helper')", {"helper.py"}),
        ("def f(): return __import__('helper')", {"helper.py"}),
        (
            "import pack.chain",
            {"pack/__init__.py", "pack/chain.py", "pack/sub.py", "space/inner.py", "helper.py"},
        ),
        ("import space.inner", {"space/inner.py", "helper.py"}),
        ("def f(): import broken", {"broken.py"}),
        ("def f(): import json, not_there, pytest", set()),
        ("", set()),
    ],
)
def test_what_is_imported_is_in_it_and_nothing_else(members_of, text, found):
    files = {
        "helper.py": "",
        "other.py": "",
        "pack/__init__.py": "",
        "pack/sub.py": "",
        "pack/other.py": "",
        "pack/data.txt": "",
        "pack/chain.py": "def f():\n    from . import sub\n    from .. import nothing\n"
        "    from .sub import x\n    import space.inner",
        "space/inner.py": "def f(): import helper",
        "broken.py": "def f(:",
    }
    assert members_of(files, script=text) == found


def test_what_a_module_was_given_while_the_program_ran_is_in_it(members_of):
    names = ["function", "partial", "in_list", "in_object", "in_class", "subclass", "module"]
    files = {f"plugin_{name}.py": "class C: pass\ndef f(): pass\n" for name in names}
    files["plugin_subclass.py"] = "import base\nclass Sub(base.Base): pass\n"
    files["base.py"] = """
        import functools

        class Registry:
            def __init__(self):
                self.things = {}

        class Base:
            known = []

        registry, by_name, table = Registry(), {}, list(range(10))

        def load(name):
            return __import__("plugin_" + name)
    """
    script = """
        import base, functools
        base.hook = base.load("function").f
        base.partial = functools.partial(base.load("partial").f, 1)
        base.table.append(base.load("in_list").C())
        base.registry.things["x"] = base.load("in_object").f
        base.Base.known.append(base.load("in_class").C)
        base.load("subclass")
        base.something = base.load("module")
    """
    found = {*files} - {"base.py"}
    assert members_of(files, script=script) == found | {"base.py"}


def test_a_script_that_is_part_of_a_package_brings_what_it_reaches(members_of):
    files = {
        "app/__init__.py": "",
        "app/flow.py": "from . import steps\nimport listing_bandsaw\n"
        "print(*listing_bandsaw.members())\n",
        "app/steps.py": "",
    }
    found = members_of(files, "-m", "app.flow", script="")
    assert found == {"app/__init__.py", "app/flow.py", "app/steps.py"}


def test_what_is_typed_later_is_in_the_next_archive(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("listing_bandsaw.py", LISTING)
    project.write("helper.py", "")
    code = """
        import bandsaw, listing_bandsaw
        @bandsaw.task
        def f(): pass
        assert "helper.py" not in listing_bandsaw.members()
        import helper
        @bandsaw.task
        def g(): pass
        assert "helper.py" in listing_bandsaw.members()
    """
    project.run("-W", "ignore", "-c", textwrap.dedent(code))


def test_custom_advices_that_the_configuration_was_given_are_in_it(members_of):
    files = {
        "mine.py": "import bandsaw\nclass Mine(bandsaw.Advice): pass\n",
        "bandsaw_config.py": "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
        "configuration.add_advice_chain(__import__('mi' + 'ne').Mine())\n",
    }
    assert members_of(files, script="") == {"mine.py"}


@pytest.mark.parametrize("name", ["os", "runpy", "importlib", "json.decoder"])
def test_what_is_frozen_into_python_is_in_it_as_source(name, project, pythons):
    code = f"""
        from bandsaw.distribution import DistributionArchive
        import zipfile
        path = DistributionArchive("a.pyz", {name!r}).path
        print(*zipfile.ZipFile(path).namelist())
        path.unlink()
    """
    for python in pythons.values():
        found = project.run("-c", textwrap.dedent(code), python=python).stdout.split()
        inner = name.replace(".", "/")
        assert {f"{inner}.py", f"{inner}/__init__.py"} & set(found), python


def test_a_package_that_says_itself_where_its_modules_are_can_be_named(project):
    project.write("pack/__init__.py", "__path__.append(__file__[:-11] + 'elsewhere')")
    project.write("pack/elsewhere/far.py", "x = 1")
    code = """
        from bandsaw.distribution import DistributionArchive
        import zipfile
        print(*zipfile.ZipFile(DistributionArchive("a.pyz", "pack.far").path).namelist())
    """
    found = project.run("-c", textwrap.dedent(code)).stdout.split()
    assert {"pack/__init__.py", "pack/far.py"} <= set(found)


def test_neither_a_named_module_nor_its_packages_are_imported(tmp_path, monkeypatch):
    (tmp_path / "loud_package").mkdir()
    (tmp_path / "loud_package" / "__init__.py").write_text("raise AssertionError")
    (tmp_path / "loud_package" / "loud.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(str(tmp_path))
    archive = DistributionArchive(tmp_path / "a.pyz", "loud_package.loud")
    assert "loud_package/loud.py" in content_of_zip(archive.path).members
    with pytest.raises(DistributionModuleError, match=r"loud_package\.quiet"):
        DistributionArchive(tmp_path / "b.pyz", "loud_package.quiet").path  # noqa: B018  # builds it
    assert "loud_package" not in sys.modules


def test_links_are_followed_and_what_is_no_file_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "data").write_text("data")
    folder = tmp_path / "linked_package"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"")
    (folder / "old.py").write_text("")
    for name in ("old.pyc", "compiled_only.pyc"):
        (folder / name).write_bytes(b"")
    (folder / "there").symlink_to(tmp_path / "real")
    (folder / "file").symlink_to(tmp_path / "real" / "data")
    (folder / "nowhere").symlink_to(tmp_path / "not there")
    (folder / "again").symlink_to(folder)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {name for name in collect(["linked_package"]).members if name.startswith("linked")}
    assert {name.partition("/")[2] for name in found} == {
        *("old.py", "compiled_only.pyc", "there/data", "file")
    }


def test_a_change_of_one_byte_or_name_is_another_digest(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "digested_package"
    package.mkdir()
    digests = []
    for name, data in (("a", b"1"), ("a", b"2"), ("b", b"2"), ("a", b"1")):
        (package / name).write_bytes(data)
        digests.append(collect(["digested_package"]).digest)
        (package / name).unlink()
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]
    assert collect(["digested_package"], signed_by="x").digest not in digests


def test_what_was_found_in_a_source_is_known_for_that_source_only():
    first = Imports()
    assert first.of("a.b", b"from . import c\nimport d") == ["a", "a.c", "d"]
    second = Imports({key: ["remembered"] for key in first.found})
    assert second.of("a.b", b"from . import c\nimport d") == ["remembered"]
    assert second.of("a.c", b"from . import c\nimport d") == ["a", "a.c", "d"]
    assert second.of("a.b", b"from . import c\nimport e") == ["a", "a.c", "e"]
    assert first.of("a", b"import (") == []
    assert first.of("a", b"import \0") == []
