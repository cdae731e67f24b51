"""What of a project goes into an archive: what is named, and what is reached."""

import os
import re
import sys
import textwrap
import zipfile

import pytest

import bandsaw
from bandsaw._archive import folders, locate
from bandsaw._archive.imports import Imports, named_in
from bandsaw._archive.selection import collect
from bandsaw._archive.zip_archive import content_of_zip
from bandsaw.distribution import DistributionArchive, get_distribution_archive
from bandsaw.errors import (
    ConfigurationTypeError,
    DistributionError,
    DistributionFileError,
    DistributionModuleError,
)

CONFIGURATION = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
# What other modules of a package import goes along as well.
PACK = {f"pack/{name}" for name in ("__init__.py", "sub.py", "other.py", "chain.py", "data.txt")}
PACK |= {"space/inner.py", "space/data/table.csv", "helper.py"}
LISTING = """
    from bandsaw.distribution import get_distribution_archive
    import bandsaw

    def members():
        path = get_distribution_archive(bandsaw.get_configuration()).path
        import zipfile
        names = zipfile.ZipFile(path).namelist()
        return {name for name in names if "bandsaw" not in name and not name.endswith("/")}
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
        ("import pack.sub as p", PACK),
        ("from pack import sub", PACK),
        ("from pack import *", PACK),
        ("def f():\n    def g():\n        import helper", {"helper.py"}),
        ("try:\n    import helper\nexcept ImportError:\n    import not_there", {"helper.py"}),
        ("import importlib\ndef f(): importlib.import_module('helper')", {"helper.py"}),
        ("def f(): return __import__('helper')", {"helper.py"}),
        ("import space.inner", {"space/inner.py", "space/data/table.csv", "helper.py"}),
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
        "pack/.hidden/x.txt": "",
        "pack/cache/CACHEDIR.TAG": "",
        "pack/venv/pyvenv.cfg": "",
        "pack/lib/site-packages/x.py": "",
        "space/data/table.csv": "",
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


def test_what_is_frozen_into_python_is_in_it_as_source(project, pythons):
    names = ["os", "runpy", "importlib", "json.decoder"]
    code = f"""
        from bandsaw.distribution import DistributionArchive
        import zipfile
        for name in {names!r}:
            path = DistributionArchive("a.pyz", name).path
            print(*zipfile.ZipFile(path).namelist())
            path.unlink()
    """
    for python in pythons.values():
        lines = project.run("-c", textwrap.dedent(code), python=python).stdout.splitlines()
        for name, line in zip(names, lines):
            inner = name.replace(".", "/")
            assert {f"{inner}.py", f"{inner}/__init__.py"} & set(line.split()), (python, name)
        assert len(lines) == len(names)


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


@pytest.mark.parametrize("is_named", [False, True])
def test_a_package_with_the_configuration_goes_along_whole_only_if_it_is_named(project, is_named):
    named = ".add_modules_for_distribution('pack')" if is_named else ""
    project.write("pack/__init__.py", f"{CONFIGURATION.strip()}{named}")
    for name in ("pack/sub.py", "pack/data.txt", "pack/.env", "pack/.git/config"):
        project.write(name, "")
    code = """
        import bandsaw
        from bandsaw.distribution import get_distribution_archive
        members = get_distribution_archive(bandsaw.get_configuration("pack")).members
        print(*sorted(name for name in members if name.startswith("pack/")))
    """
    found = project.run("-c", textwrap.dedent(code)).stdout.split()
    hidden = ["pack/.env", "pack/.git/config"] if is_named else []
    assert found == [*hidden, "pack/__init__.py", "pack/data.txt", "pack/sub.py"]


def test_what_caches_and_recorders_keep_in_a_package_does_not_go_along(project):
    keeping = """
        import os
        import bandsaw
        from bandsaw.recording import Recorder

        here = os.path.dirname(__file__)
        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(bandsaw.advices.cache.CachingAdvice(here + "/data"))
            .add_extension(Recorder(here + "/calls.sqlite"))
            .add_extension(Recorder())
        )
    """
    code = """
        import bandsaw
        from bandsaw.distribution import get_distribution_archive

        @bandsaw.task(config="pack.keeping")
        def f(x):
            return x

        def members():
            found = get_distribution_archive(bandsaw.get_configuration("pack.keeping")).members
            return {name for name in found if name.startswith("pack/")}
    """
    project.write("pack/keeping.py", textwrap.dedent(keeping))
    project.write("pack/steps.py", textwrap.dedent(code))
    names = "keeping.py", "steps.py", "data/x.csv", "data/abcd.csv", "data/2024/x.csv"
    expected = {f"pack/{name}" for name in names}
    for name in expected - {"pack/keeping.py", "pack/steps.py"}:
        project.write(name, "")
    project.write("pack/abcd/kept", "")
    project.run("-c", "from pack import steps; steps.f(1)")
    assert len(list((project.folder / "pack" / "data").glob("*/*"))) == 2
    assert (project.folder / "pack" / "calls.sqlite").exists()
    run = project.run("-c", "from pack import steps; print(*steps.members())")
    assert set(run.stdout.split()) == {*expected, "pack/abcd/kept"}


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
    (folder / os.fsdecode(b"latin-\xe9")).write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {name for name in collect(["linked_package"]).members if name.startswith("linked")}
    assert {name.partition("/")[2] for name in found} == {
        *("old.py", "compiled_only.pyc", "there/data", "file")
    }
    assert "latin-\udce9" in folders.find([str(folder)]).left_out


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


def _project(tmp_path, monkeypatch, **paths):
    """A configuration in a module of its own, beside some files."""
    files = {"configuration_of_files.py": CONFIGURATION, **paths}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "configuration_of_files", raising=False)
    return bandsaw.get_configuration("configuration_of_files")


def test_named_files_keep_their_place_and_count_by_what_is_in_them(tmp_path, monkeypatch):
    files = {"a.csv": "1", "sql/x/q.sql": "2", "sql/.hidden": "", "data/b.csv": "3", "data/c": ""}
    configuration = _project(tmp_path / "here", monkeypatch, **files)
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    (elsewhere / "d.txt").write_text("4")
    configuration.add_files_for_distribution("a.csv", tmp_path / "here" / "sql", "data/*.csv")
    assert configuration.add_files_for_distribution(elsewhere, elsewhere / "d.txt") is configuration
    archive = get_distribution_archive(configuration)
    named = {name for name in archive.members if not name.startswith("bandsaw/")}
    assert named == {
        *("__main__.py", "configuration_of_files.py", "a.csv", "sql/x/q.sql", "data/b.csv"),
        *("bandsaw-files/where/d.txt", "bandsaw-files/d.txt"),
    }
    assert (archive.folder / "sql" / "x" / "q.sql").read_text() == "2"
    before = archive._collect().digest
    assert archive._collect().digest == before == archive.digest
    (tmp_path / "here" / "a.csv").write_text("changed")
    assert archive._collect().digest != before


@pytest.mark.parametrize("name", ["not_there.csv", "no/*.csv", "/not/there", "a\nb"])
def test_a_named_file_that_is_not_there_is_an_error_that_names_it(tmp_path, monkeypatch, name):
    configuration = _project(tmp_path, monkeypatch).add_files_for_distribution(name)
    with pytest.raises(DistributionFileError, match=re.escape(repr(name))) as caught:
        _ = get_distribution_archive(configuration).digest
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("name", ["one/same.txt", "__main__.py"])
def test_two_files_for_one_place_are_refused(tmp_path, monkeypatch, name):
    files = {"one/same.txt": "1", "__main__.py": ""}
    configuration = _project(tmp_path / "here", monkeypatch, **files)
    (tmp_path / "two").mkdir()
    (tmp_path / "three").mkdir()
    for number in "two", "three":
        (tmp_path / number / "same.txt").write_text(number)
        configuration.add_files_for_distribution(tmp_path / number / "same.txt")
    if name == "__main__.py":
        configuration._distribution_files[:] = []
        configuration.add_files_for_distribution(name)
    with pytest.raises(DistributionError, match=f"another '.*{name[-8:]}'"):
        _ = get_distribution_archive(configuration).digest


def test_what_is_no_path_is_refused_at_once():
    with pytest.raises(ConfigurationTypeError, match="7"):
        bandsaw.Configuration().add_files_for_distribution(7)


def test_a_package_in_a_zip_goes_along_whole(tmp_path, monkeypatch):
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zipped_pack/__init__.py", "")
        archive.writestr("zipped_pack/data/x.txt", "data")
        archive.writestr("zipped_pack/.hidden/x.txt", "")
        archive.writestr("zipped_pack/large.bin", bytes(folders.LARGEST_FILE + 1))
    monkeypatch.syspath_prepend(str(path))
    content = collect([], reached_from={"zipped_pack": "has a task"})
    assert content.read("zipped_pack/data/x.txt") == b"data"
    assert "zipped_pack/.hidden/x.txt" not in content.members
    assert content.manifest["left_out"] == {"zipped_pack/large.bin": folders.LARGE}
    assert content.left_out["zipped_pack/.hidden/x.txt"] == "hidden"


def test_of_a_namespace_package_only_what_is_not_installed_goes_along(tmp_path, monkeypatch):
    for folder, name in ("ours", "mine"), ("lib/site-packages", "theirs"):
        (tmp_path / folder / "spaced" / name).mkdir(parents=True)
        (tmp_path / folder / "spaced" / name / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    content = collect([], reached_from={"spaced.mine": "has a task"})
    assert "spaced/mine/__init__.py" in content.members
    assert "spaced/theirs/__init__.py" not in content.members


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import one", {"one"}),
        ("import one.two as x, three\nimport four  # of five", {"one.two", "three", "four"}),
        ("def f():\n    if x: import one; import two", {"one", "two"}),
        ("from one.two import (\n    three,\n)\nfrom four import *", {"one.two", "four"}),
        ("x = import_module('one.two'), __import__(\n  \"three\")", {"one.two", "three"}),
        ("from . import one", {"one"}),
        ("from .one import two\nimporting = 'no'", {"two"}),
        ("import \\\n  one", set()),
        ("import ünï", {"ünï"}),
        ("", set()),
    ],
)
def test_what_a_module_of_a_package_imports_is_found_without_parsing_it(source, expected):
    assert set(named_in(source.encode())) == expected


def test_a_word_in_a_text_does_not_send_a_folder_of_that_name(tmp_path, monkeypatch):
    files = {"folder_a/x.csv": "", "folder_b/x.csv": "", "folder_b/m.py": ""}
    files["wordy/__init__.py"] = '"""Some import folder_a by hand."""\n'
    files["wordy/late.py"] = "# import folder_b\ndef f():\n    import folder_b.m\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    content = collect([], reached_from={"wordy": "has a task"})
    ours = {name for name in content.members if not name.startswith("bandsaw/")}
    assert ours == {*files, "__main__.py"} - {"folder_a/x.csv"}


def test_of_a_package_with_very_much_data_the_modules_go_along(tmp_path, monkeypatch, caplog):
    (tmp_path / "heavy").mkdir()
    for name in ("__init__.py", "one.bin", "two.bin"):
        (tmp_path / "heavy" / name).write_text("# 123456")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(folders, "MOST_BYTES", 15)
    content = collect([], reached_from={"heavy": "has a task"})
    assert "heavy/__init__.py" in content.members
    assert "heavy/one.bin" not in content.members
    assert content.manifest["left_out"] == {"heavy/": folders.MUCH}
    assert folders.MUCH in caplog.text


def test_modules_in_folders_of_a_package_that_is_not_loaded_are_found(tmp_path, monkeypatch):
    # In the worker of an executor nothing of the workflow may be loaded.
    path = tmp_path / "outer" / "folder" / "inner" / "module.py"
    path.parent.mkdir(parents=True)
    (tmp_path / "outer" / "__init__.py").touch()
    path.touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert locate.locate("outer.folder.inner.module").origin == str(path)
    assert list(locate.locate("outer.folder.inner").submodule_search_locations) == [
        str(path.parent)
    ]
    assert locate.locate("outer.folder.no.module") is None
