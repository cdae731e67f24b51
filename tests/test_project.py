"""The files around the library agree with it and with each other."""

import ast
import re
from pathlib import Path

import pytest

import bandsaw

ROOT = Path(__file__).resolve().parent.parent


def public_modules():
    folder = ROOT / "bandsaw"
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name[: -len(".__init__")] if name.endswith(".__init__") else name


def test_the_version_is_a_literal_that_the_changelog_names():
    tree = ast.parse((ROOT / "bandsaw" / "__init__.py").read_text(encoding="utf-8"))
    literals = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        and "__version__" in ast.unparse(node).split("=")[0]
    ]
    assert literals == [bandsaw.__version__]
    assert bandsaw.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_version_of_the_distribution_is_read_from_the_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'version = { attr = "bandsaw.__version__" }' in text
    assert not re.search(r'^version = "', text, re.MULTILINE)


def test_no_package_is_needed_at_run_time():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^dependencies = \[\]$", text, re.MULTILINE)


def test_each_python_of_the_classifiers_has_a_job_and_a_session():
    project, workflow, sessions = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("pyproject.toml", ".github/workflows/ci.yml", "noxfile.py")
    )
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    may_fail = re.findall(r"matrix\.python == '([\d.]+)'", workflow)
    jobs = re.search(r"^ +python: \[(.+)\]$", workflow, re.MULTILINE)[1]
    assert re.findall(r'"([\d.]+)"', jobs) == supported + may_fail
    on_request = re.search(r"^PYTHONS = \[(.+)\]$", sessions, re.MULTILINE)[1]
    assert on_request == jobs
    oldest = re.search(r'^requires-python = ">=([\d.]+)"$', project, re.MULTILINE)[1]
    assert supported[0] == oldest


def test_the_workflow_runs_the_script_that_everybody_can_run():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"^ +- run: (.+)$", workflow, re.MULTILINE) == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").is_file()


def test_links_between_the_files_beside_the_library_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert "://" in link or (ROOT / link).exists(), f"{page.name}: {link}"


def test_every_page_of_the_documentation_is_in_its_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation


def test_every_method_that_sets_something_is_on_the_page_of_the_configuration():
    page = (ROOT / "docs" / "guide" / "configuration.md").read_text(encoding="utf-8")
    for name in vars(bandsaw.Configuration):
        if name.startswith(("add_", "set_", "distribute_")):
            assert f"\n| `{name}(" in page, name


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_the_documentation_has_no_unfinished_places(word):
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        assert word not in page.read_text(encoding="utf-8"), page


def test_every_public_module_has_a_page_in_the_reference():
    pages = "".join(
        page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")
    )
    # A page may name the classes of its module.
    documented = set(re.findall(r"^::: (\S+?)(?:\.[A-Z]\w*)?$", pages, re.MULTILINE))
    inner = {"bandsaw", "bandsaw.advices", "bandsaw.serialization"}
    public = {
        name
        for name in public_modules()
        if not any(part.startswith("_") for part in name.split("."))
    }
    # What the façade takes from a private module is on the façade's page.
    assert public - inner == {name for name in documented if "._" not in name}
