"""Whose code a module is."""

import sys
import types
import zipfile

import pytest

import bandsaw
from bandsaw._identity import firstparty
from bandsaw._identity.definitions import definition_of
from bandsaw._identity.firstparty import distribution_of, is_first_party, is_standard_library


@pytest.mark.parametrize(
    "name", ["os", "os.path", "sys", "json.decoder", "collections.abc", "builtins", "zipimport",
             "_thread", "importlib._bootstrap", "encodings.utf_8", "bandsaw", "bandsaw.session",
             "pytest", "hypothesis.strategies", "not_to_be_found_anywhere"],
)  # fmt: skip
def test_installed_code_is_not_first_party(name):
    assert not is_first_party(name)


def test_main_and_modules_outside_of_the_installation_are_first_party(tmp_path, monkeypatch):
    (tmp_path / "own_module_1.py").write_text("")
    (tmp_path / "own_package_1").mkdir()
    (tmp_path / "own_package_1" / "below.py").write_text("")
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("own_zipped_1.py", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "own.zip"))
    for name in ("__main__", "own_module_1", "own_package_1", "own_package_1.below",
                 "own_zipped_1"):  # fmt: skip
        assert is_first_party(name)
    assert "own_module_1" not in sys.modules


def test_code_below_site_packages_is_not_first_party(tmp_path, monkeypatch):
    folder = tmp_path / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "installed_1.py").write_text("__version__ = '1.5'")
    monkeypatch.syspath_prepend(str(folder))
    assert not is_first_party("installed_1")
    import installed_1

    assert installed_1 and distribution_of("installed_1") == ("installed_1", "1.5")


def test_a_module_made_by_hand_is_first_party(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_by_hand_1", types.ModuleType("made_by_hand_1"))
    assert is_first_party("made_by_hand_1")


def test_distributions_have_names_and_versions():
    assert distribution_of("os.path") is None
    assert distribution_of("_pytest.config") == ("pytest", pytest.__version__)
    assert distribution_of("bandsaw.session") == ("bandsaw", bandsaw.__version__)


@pytest.mark.parametrize("origin", ["a folder", "an index", "conda"])
def test_what_was_not_installed_from_an_index_counts_by_its_contents(tmp_path, monkeypatch, origin):
    folder = tmp_path / "local_1-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: local_1\nVersion: 1.0\n")
    (folder / "INSTALLER").write_text("conda\n" if origin == "conda" else "pip\n")
    if origin != "an index":
        (folder / "direct_url.json").write_text('{"url": "file:///local", "dir_info": {}}')
    monkeypatch.syspath_prepend(str(tmp_path))

    def version(code, script="a"):
        record = f"../../bin/run,sha256={script},1\nlocal_1/a.py,sha256={code},1\n"
        record += f"local_1-1.0.dist-info/METADATA,sha256={script},1\nlocal_1/a.pyc,,\n"
        (folder / "RECORD").write_text(record)
        monkeypatch.setattr(firstparty, "_distributions", {})
        monkeypatch.setattr(firstparty, "_names_by_top_level", None)
        name, version = distribution_of("local_1")
        assert name == "local_1" and version.startswith("1.0")
        return version

    assert version("a") == version("a", script="b")
    assert (version("a") != version("b")) == (origin == "a folder")


def test_the_standard_library_is_known():
    assert is_standard_library("json.decoder") and is_standard_library("_socket")
    assert not is_standard_library("pytest")


def test_main_is_first_party_wherever_it_lies(monkeypatch):
    main = types.ModuleType("__main__")
    main.__file__ = "/somewhere/site-packages/tool/__main__.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert is_first_party("__main__")


def test_distributions_are_named_as_the_parsers_of_the_standard_library_name_them():
    from importlib import metadata

    expected = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        listed = (distribution.read_text("top_level.txt") or "").split()
        if not listed:
            files = [file for file in distribution.files or () if file.suffix in (".py", ".so")]
            listed = [file.parts[0].partition(".")[0] for file in files]
        for top_level in set(listed) if name else ():
            expected.setdefault(top_level, []).append(name)
    found = firstparty._read_distribution_names()
    assert found == {top: list(dict.fromkeys(names)) for top, names in expected.items()}
    assert "pytest" in found["_pytest"]


def test_a_sum_may_be_longer_than_python_recurs_deeply(tmp_path, monkeypatch):
    terms = [f"n{i}" for i in range(2000)]
    lines = [f"{term} = {i}" for i, term in enumerate(terms)]
    text = "\n".join(
        [*lines, f"TOTAL = {' + '.join(terms)}", f"def s(): return {' - '.join(terms)}"]
    )
    (tmp_path / "summing_1.py").write_text(text)
    (tmp_path / "summing_2.py").write_text(text.replace("- n7 ", "* n7 "))
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for name in ("summing_1", "summing_2"):
        module = __import__(name)
        digests.append(definition_of(module.s).digest)
        assert definition_of(module.s).is_by_source
    assert digests[0] != digests[1]
