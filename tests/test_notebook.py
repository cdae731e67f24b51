"""The page about notebooks, cell by cell, in a real kernel."""

import os
import re
from pathlib import Path

import pytest

from tests.conftest import lacking

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "in-a-notebook.md"
BLOCK = re.compile(r"^```(ipython|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```python title=\"(.*?)\"\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def cells_of_page():
    """The source of each cell, with what it is to show."""
    cells = []
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "ipython":
            cells.append([text, ""])
        else:
            cells[-1][1] = text
    return cells


def shown_by(cell):
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type == "execute_result":
            parts.append(output.data["text/plain"] + "\n")
    return "".join(parts)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_cells_of_the_page_show_what_it_says(project, monkeypatch):
    try:
        import ipykernel  # noqa: F401
        import nbclient
        import nbformat
    except ImportError as error:
        lacking(f"{error.name} is not installed")
    for name, text in FILE.findall(PAGE.read_text(encoding="utf-8")):
        project.write(name, text)
    shapes = project.folder / "shapes.py"
    os.utime(shapes, (1, 1))
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    cells = cells_of_page()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source, _ in cells]
    )
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(project.folder)}}
    )
    with client.setup_kernel():
        for number, (source, expected) in enumerate(cells):
            if "shapes" not in source and source == "area(3)\n":
                shapes.write_text("def area(x):\n    return x * x * x\n")
            cell = client.execute_cell(notebook.cells[number], number)
            assert shown_by(cell) == expected, source
