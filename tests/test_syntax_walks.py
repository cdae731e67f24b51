"""What is found in syntax trees without a look at all of them."""

import ast
import json
import os
import sys
from pathlib import Path

import pytest

from bandsaw._identity.module_parts import Module
from bandsaw._identity.sources import Source
from bandsaw._identity.uses import Origin

# Each of them holds the statement `import inner`.
BLOCKS = [
    "import inner",
    "def f():\n    import inner",
    "async def f():\n    async with a:\n        async for b in c:\n            import inner",
    "class C:\n    class D:\n        def f(self):\n            import inner",
    "if a:\n    pass\nelif b:\n    pass\nelse:\n    import inner",
    "for a in b:\n    pass\nelse:\n    import inner",
    "while a:\n    pass\nelse:\n    import inner",
    "try:\n    pass\nexcept a:\n    import inner",
    "try:\n    pass\nexcept a:\n    pass\nelse:\n    import inner",
    "try:\n    pass\nfinally:\n    with a:\n        import inner",
    pytest.param(
        "match a:\n    case [b]:\n        pass\n    case _:\n        import inner",
        marks=pytest.mark.skipif(sys.version_info < (3, 10), reason="the statement is new there"),
    ),
    pytest.param(
        "try:\n    pass\nexcept* a:\n    import inner",
        marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="the clause is new there"),
    ),
    # Calls are looked for in all expressions, where the text has their names.
    "x = [lambda: import_module('inner')]",
    "def f(a=__import__('inner')): pass",
    "x = {a: f'{import_module(\"inner\")}'}",
    # Other characters stand for those of a name.
    "x = [\uff49mport_module('inner')]",
]


def module(text):
    return Module("m", False, None, Source(text, "m.py"))


@pytest.mark.parametrize("text", BLOCKS)
def test_an_import_is_found_wherever_it_stands(text):
    assert module(text).origins == {Origin("inner", None, 0)}


@pytest.mark.parametrize(
    "name", ["ast", "json/decoder", "typing", "asyncio/tasks", "unittest/mock"]
)
def test_all_imports_of_modules_of_python_are_found(name):
    text = Path(os.path.dirname(json.__file__), "..", f"{name}.py").read_text(encoding="utf-8")
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {Origin(alias.name, None, 0) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {Origin(node.module or "", alias.name, node.level) for alias in node.names}
    assert found <= module(text).origins
    assert "import_module" in text or "__import__" in text or found == module(text).origins
