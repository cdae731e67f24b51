"""The house as it is: which room may use which, checked against the imports."""

import ast
from pathlib import Path

import bandsaw

PACKAGE = Path(bandsaw.__file__).parent

# From the inner rooms to the outer ones. What a module imports when it is loaded lies further in,
# or in the same room.
FLOORS = [
    "errors _process_errors io user _files _kept",
    "run modules _file identifier _identity",
    "serialization",
    "interpreter context extensions execution result",
    "fingerprint",
    "_functions tasks config",
    "_cache",
    "_archive distribution _far_end _moderator _session_file _session_header _session_zip",
    "session",
    "advice",
    "decorator workers",
    "runner advices _environments environments",
    "_explain",
    "_console _check _archive_command _cache_command _environment_command __main__",
]


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix("__init__").rstrip("."), path


def imported_when_loaded(name, path):
    """The modules of bandsaw that are imported at the top level, not for type checkers only."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]

    def visit(body):
        for node in body:
            if isinstance(node, ast.If):
                if "TYPE_CHECKING" not in ast.dump(node.test):
                    yield from visit(node.body)
                yield from visit(node.orelse)
            elif isinstance(node, (ast.Try, ast.ClassDef, ast.With)):
                yield from visit(node.body)
            elif isinstance(node, ast.ImportFrom) and node.level:
                base = [part for part in package if part][: len(package) - node.level + 1]
                target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
                for alias in node.names:
                    yield target, alias.name

    known = {module for module, _ in modules()}
    for target, imported in visit(ast.parse(path.read_text()).body):
        full = f"{target}.{imported}".strip(".")
        yield full if full in known else target


def floor_of(name):
    for number, rooms in enumerate(FLOORS):
        for room in rooms.split():
            if name == room or name.startswith(room + "."):
                return number
    return None


def test_every_module_has_its_floor():
    lacking = [name for name, _ in modules() if name and floor_of(name) is None]
    assert lacking == []


def test_imports_run_from_the_outer_rooms_to_the_inner_ones():
    wrong = [
        f"{name} imports {target}"
        for name, path in modules()
        if name
        for target in imported_when_loaded(name, path)
        if target and floor_of(name) < floor_of(target)
    ]
    assert wrong == []


def test_no_modules_import_each_other():
    graph = {
        name: set(imported_when_loaded(name, path)) - {name, ""} for name, path in modules() if name
    }

    def visit(name, way):
        assert name not in way, f"cycle: {' -> '.join([*way, name])}"
        for target in graph[name]:
            if target not in finished:
                visit(target, [*way, name])
        finished.add(name)

    finished = set()
    for name in graph:
        visit(name, [])


def test_the_facade_imports_nothing():
    assert set(imported_when_loaded("", PACKAGE / "__init__.py")) == set()
