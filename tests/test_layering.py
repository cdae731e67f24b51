"""The house as the architecture page describes it. `lint-imports` checks the order of its rooms."""

import ast
import re
import sys
from pathlib import Path

import bandsaw

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(bandsaw.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
PYPROJECT = ROOT / "pyproject.toml"


def table_below(heading):
    """Returns the rows of a table of the page, by their first cell."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {first: rest for first, *rest in rows}


ROOMS = {
    room: re.findall("`([^`]+)`", cells[0]) for room, cells in table_below("The rooms").items()
}
ORDER = list(ROOMS)


def name_of(path):
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix("__init__").rstrip(".")


# The façade is the one without a name.
MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name, *, in_functions=False):
    """The modules of bandsaw that are imported at the top level, not for type checkers only."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]

    def visit(body):
        for node in body:
            if isinstance(node, ast.If):
                if ast.unparse(node.test) != "TYPE_CHECKING":
                    yield from visit(node.body)
                yield from visit(node.orelse)
            elif isinstance(node, ast.ImportFrom):
                if node.level:
                    base = [part for part in package if part][: len(package) - node.level + 1]
                elif f"{node.module}.".startswith("bandsaw."):
                    base = []
                else:
                    continue
                inner = (node.module or "").split(".")[0 if node.level else 1 :]
                target = ".".join([*base, *inner]).strip(".")
                for alias in node.names:
                    yield target, alias.name
            elif in_functions or not isinstance(node, (ast.FunctionDef, ast.Lambda)):
                yield from visit(ast.iter_child_nodes(node))

    for target, alias in visit(ast.parse(path.read_text(encoding="utf-8")).body):
        full = f"{target}.{alias}".strip(".")
        yield full if full in MODULES else target


def room_of(name):
    for room, names in ROOMS.items():
        if name in names or name.split(".")[0] in names:
            return room
    return None


def arrows(*, in_functions):
    """The rooms that each room imports, and an example of each arrow."""
    found = {}
    for name in MODULES:
        for target in imported(name, in_functions=in_functions):
            arrow = room_of(name), room_of(target)
            if None not in arrow and arrow[0] != arrow[1]:
                found.setdefault(arrow, f"{name} imports {target}")
    return found


def test_the_rooms_are_the_layers_that_imports_are_checked_by():
    contracts = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [set(layer.split(" : ")) for layer in contracts["contracts"][0]["layers"]]
    assert [set(names) for names in ROOMS.values()] == layers[::-1]


def test_the_page_has_the_arrows_that_the_imports_have():
    at_the_top, anywhere = arrows(in_functions=False), arrows(in_functions=True)
    in_functions = {arrow: why for arrow, why in anywhere.items() if arrow not in at_the_top}
    table = table_below("Who imports whom")
    assert list(table) == ORDER
    wrong = []
    for column, found in enumerate((at_the_top, in_functions)):
        written = {
            (room, target)
            for room, cells in table.items()
            for target in cells[column].split(", ")
            if target
        }
        what = ("imports", "when needed")[column]
        for room, target in sorted(set(found) - written):
            why = found[room, target]
            wrong.append(f"add {target} to the row {room}, column {what!r}: {why}")
        for room, target in sorted(written - set(found)):
            wrong.append(f"delete {target} from the row {room}, column {what!r}")
    assert wrong == []


def test_the_drawing_shows_the_rooms_in_their_order():
    drawing = PAGE.with_suffix(".svg").read_text(encoding="utf-8")
    shown = re.findall(r'<text[^>]*class="room"[^>]*>(\w+)</text>', drawing)
    assert shown[::-1] == ORDER


def test_the_facade_imports_nothing():
    assert set(imported("")) == set()
