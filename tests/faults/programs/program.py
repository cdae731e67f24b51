"""A program: definitions in modules that import each other."""

from __future__ import annotations

import copy

from .definitions import body_of
from .literals import Writer
from .writing import WRITERS, indented, used

# From what imports to what is imported.
MODULES = ("workflow", "helpers", "models", "kit", "kit.sub", "kit.deep")
HEADER = "import collections, contextlib, dataclasses, enum, functools, typing\nimport bandsaw\n"


class Program:
    """A program: definitions in modules.

    Attributes:
        definitions: By name, in an order in which every module can be loaded.
        unrelated: By module, how many other functions and remarks it has.
        order: By module, the order of the definitions, where it is another one.
        reexported: The names that the package offers as its own.
    """

    def __init__(self, definitions, unrelated, order, reexported):
        self.definitions = definitions
        self.unrelated = unrelated
        self.order = order
        self.reexported = reexported

    def changed(self, **attributes):
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other

    def with_definition(self, definition):
        return self.changed(definitions={**self.definitions, definition.name: definition})

    def reached(self):
        """The names of everything that the task depends on."""
        found, pending = set(), ["f"]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                definition = self.definitions[name]
                pending += [reference.target for reference in definition.early + definition.late]
        return found

    def files(self):
        """The text of every module, by its path."""
        texts = {}
        for module in MODULES:
            path = "kit/__init__.py" if module == "kit" else module.replace(".", "/") + ".py"
            texts[path] = self._text(module)
        return texts

    def _text(self, module):
        number = self.unrelated.get(module, 0)
        here = [d for d in self.definitions.values() if d.module == module]
        if module in self.order:
            here.sort(key=lambda definition: self.order[module].index(definition.name))
        imports = {self._statement(r, module) for d in here for r in d.early + d.late
                   if not r.way.startswith("lazy")} - {""}  # fmt: skip
        if module == "kit":
            for name in self.reexported:
                target = self.definitions[name]
                imports.add(f"from .{target.module.partition('.')[2]} import {name}")
        parts = ['"""A module."""\n' if number % 2 else "", HEADER]
        parts += [line + "\n" for line in sorted(imports)]
        if number > 1:
            parts.append("import json\n\n# A remark.\ndef unrelated(x):\n    return json\n")
        parts += ["\n" * d.style.blank + "\n".join(self._lines(d)) + "\n" for d in here]
        if number > 2:
            parts.append("if __name__ == '__main__':\n    print(unrelated(3))\n")
        return "".join(parts)

    def _statement(self, reference, module):
        target, way = self.definitions[reference.target], reference.way.replace("lazy ", "")
        home, name = target.module, target.name
        if home == module:
            return ""
        if name in self.reexported and not module.startswith("kit"):
            home = "kit"
        is_relative = module.startswith("kit") and home.startswith("kit.")
        if way == "from":
            origin = "." + home.partition(".")[2] if is_relative else home
            return f"from {origin} import {name}"
        if way == "alias":
            return f"from {home} import {name} as {name}_too"
        if way == "module" and is_relative:
            return f"from . import {home.partition('.')[2]} as {home.replace('.', '_')}"
        if way == "module":
            return f"import {home} as {home.replace('.', '_')}"
        return f"import {home}"

    def _name(self, reference, module):
        target, way = self.definitions[reference.target], reference.way.replace("lazy ", "")
        home = target.module
        if home == module or way == "from":
            return target.name
        if target.name in self.reexported and not module.startswith("kit"):
            home = "kit"
        if way == "alias":
            return f"{target.name}_too"
        return f"{home.replace('.', '_') if way == 'module' else home}.{target.name}"

    def _lines(self, d):
        write = Writer(d.style)
        early = [self._name(reference, d.module) for reference in d.early]
        lines = WRITERS[d.kind](self, d, write, early)
        return [f"# {d.name}"] * (d.style.comment == 2) + lines

    def body(self, d, write, subject="x"):
        """The statements of a function: docstring, imports, and one of the templates."""
        terms = [
            write.group(used(self.definitions[r.target], self._name(r, d.module), write))
            for r in d.late
        ]
        terms.append(write.literal(d.literals[1]))
        expression = subject
        for operator, term in zip(d.operators, terms):
            expression += f" {operator} {term}"
        text = body_of(d).format(E=write.group(f"({expression})"), K=write.literal(d.literals[2]))
        imports = [self._statement(r, d.module) for r in d.late if r.way.startswith("lazy")]
        lines = [*write.docstring(), *filter(None, imports)]
        if d.extra:
            lines.append("x = [x, 'more']")
        if d.style.comment:
            lines.append("# A remark on what follows.")
        return indented([*lines, *text.split("\n")])
