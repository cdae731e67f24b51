import ast
import importlib
import inspect
import pickle
import pkgutil
import sys
from pathlib import Path

import pytest

import bandsaw
from bandsaw import errors

PACKAGE = Path(bandsaw.__file__).parent


def test_the_facade_exports_what_it_says_in_order():
    assert bandsaw.__all__ == sorted(bandsaw.__all__)
    for name in bandsaw.__all__:
        assert getattr(bandsaw, name) is not None
    assert set(bandsaw.__all__) <= set(dir(bandsaw))
    assert set(bandsaw._HOMES) == set(bandsaw.__all__) - {"__version__"}


def test_the_version_is_a_literal():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    values = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    ]
    assert values == [bandsaw.__version__]


@pytest.mark.parametrize(
    "expression",
    [
        "bandsaw.advices.log.LoggingAdvice",
        "bandsaw.advices.cache.CachingAdvice",
        "bandsaw.advices.subprocess.SubprocessAdvice",
        "bandsaw.advices.ssh.SshAdvice",
        "bandsaw.serialization.values.TupleSerializer",
        "bandsaw.session.Session",
        "bandsaw.runner.main",
        "bandsaw.distribution.DistributionArchive",
        "bandsaw.identifier.identifier_from_bytes",
    ],
)
def test_importing_bandsaw_alone_makes_everything_reachable(project, expression):
    assert project.run("-c", f"import bandsaw; print({expression}.__name__)").stdout


def test_what_is_not_there_is_an_attribute_error():
    for module in (bandsaw, bandsaw.advices):
        with pytest.raises(AttributeError, match="not_there"):
            module.not_there  # noqa: B018  # what is tested


def test_what_lies_elsewhere_is_an_attribute_error_that_says_where():
    for name, home in bandsaw._ELSEWHERE.items():
        for module in (bandsaw, bandsaw.advices) if home[:8] == "advices." else (bandsaw,):
            with pytest.raises(AttributeError, match=f": look in bandsaw.{home}$"):
                getattr(module, name)
        assert hasattr(importlib.import_module(f"bandsaw.{home}"), name)
    with pytest.raises(AttributeError, match=r": look in bandsaw\.errors$"):
        bandsaw.DependencyError  # noqa: B018  # what is tested


def test_importing_bandsaw_loads_next_to_nothing(project):
    code = (
        "import sys; before = set(sys.modules); import bandsaw; print(*set(sys.modules) - before)"
    )
    loaded = set(project.run("-S", "-c", code).stdout.split())
    assert {name for name in loaded if name.startswith("bandsaw")} == {"bandsaw"}


def test_defining_a_task_loads_nothing_heavy(project):
    code = (
        "import sys; before = set(sys.modules); import bandsaw; bandsaw.task; "
        "bandsaw.Configuration(); print(*set(sys.modules) - before)"
    )
    loaded = set(project.run("-S", "-c", code).stdout.split())
    assert not loaded & {
        *(
            "logging",
            "json",
            "subprocess",
            "inspect",
            "ast",
            "zipfile",
            "pickle",
            "hashlib",
            "dataclasses",
        ),
        *("tempfile", "shutil", "importlib.metadata", "traceback", "datetime", "argparse"),
    }


def all_modules():
    for info in pkgutil.walk_packages([str(PACKAGE)], "bandsaw."):
        yield info.name


def test_every_public_name_has_a_docstring():
    lacking = []
    for name in all_modules():
        if any(part.startswith("_") for part in name.split(".")):
            continue
        module = importlib.import_module(name)
        if not module.__doc__:
            lacking.append(name)
        for attribute, value in vars(module).items():
            if attribute.startswith("_") or getattr(value, "__module__", None) != name:
                continue
            if inspect.isfunction(value) and not value.__doc__:
                lacking.append(f"{name}.{attribute}")
            if inspect.isclass(value):
                lacking += [
                    f"{name}.{attribute}.{member}"
                    for member, method in vars(value).items()
                    if inspect.isfunction(method)
                    and not member.startswith("_")
                    and not method.__doc__
                ]
    assert lacking == []


def error_classes():
    return [
        value
        for value in (*vars(errors).values(), errors.RemoteCommandError, errors.WorkerDiedError)
        if inspect.isclass(value) and issubclass(value, errors.BandsawError)
    ]


@pytest.mark.parametrize("error_class", error_classes())
def test_every_error_pickles_with_what_it_knows(error_class):
    error = error_class("message")
    error.where = "Advice.before of task t"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is error_class
    assert str(copy) == str(error) == "message [in Advice.before of task t]"


@pytest.mark.parametrize("error_class", error_classes())
def test_every_error_is_in_the_drawing_of_the_tree(error_class):
    if not error_class.__name__.startswith("_"):
        assert error_class.__name__ in errors.__doc__


def test_no_error_is_defined_elsewhere():
    for name in all_modules():
        if name in ("bandsaw.errors", "bandsaw.advices._far_side"):
            continue
        for value in vars(importlib.import_module(name)).values():
            if inspect.isclass(value) and issubclass(value, errors.BandsawError):
                assert value.__module__ == "bandsaw.errors" or value.__name__ == "_ProcessError"


@pytest.mark.slow
def test_the_library_needs_the_standard_library_only():
    optional = {"cloudpickle", "fsspec", "numpy", "pandas", "pyarrow", "typing_extensions"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if sys.version_info >= (3, 10):
                    assert top in sys.stdlib_module_names | optional | {"bandsaw"}, (path, name)
