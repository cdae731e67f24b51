"""One example: a program that is written, imported and asked for its id, and edits of it."""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings
from pathlib import Path

import bandsaw
from bandsaw.fingerprint import IdentityWarning

from .edits import edit_of
from .making import program_of
from .program import MODULES, Program
from .writing import CONFIGURATION


class Workspace:
    """A folder that a program lies in, one after the other.

    The files keep their names, because the name of a module is part of the id, and because what is
    remembered of a file is remembered by its path.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._texts = {}
        self._stamp = 10**18

    def __enter__(self):
        (self.folder / "kit").mkdir()
        self._before = sys.dont_write_bytecode
        self._loaded = {name: sys.modules.get(name) for name in MODULES}
        # Byte code is believed by the second and the size, and edits are faster than that.
        sys.dont_write_bytecode = True
        for path in Program({}, {}, {}, ()).files():
            (self.folder / path).write_text("")
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        module = types.ModuleType(CONFIGURATION)
        module.configuration = bandsaw.Configuration().add_advice_chain()
        sys.modules[CONFIGURATION] = module
        return self

    def __exit__(self, *_):
        self._purge()
        sys.path.remove(str(self.folder))
        sys.modules.pop(CONFIGURATION, None)
        sys.modules.update({name: module for name, module in self._loaded.items() if module})
        sys.dont_write_bytecode = self._before

    def _purge(self):
        for module in MODULES:
            sys.modules.pop(module, None)

    def task_id(self, program):
        """Writes a program, imports it, and reads the id of its task.

        Args:
            program: The program.

        Returns:
            The id.
        """
        for path, text in program.files().items():
            if self._texts.get(path) != text:
                self._texts[path] = text
                place = self.folder / path
                place.write_text(text, encoding="utf-8")
                # Two edits of one size, faster than the clock of the file system, look like none.
                self._stamp += 10**9
                os.utime(place, ns=(self._stamp, self._stamp))
        self._purge()
        task = importlib.import_module("workflow").f.bandsaw_task
        with warnings.catch_warnings():
            # Of counters, which count as they are first set.
            warnings.simplefilter("ignore", IdentityWarning)
            return task.task_id


def faults_of(dice, workspace, edits=1):
    """Makes one program and looks whether its id changes exactly with the edits that matter.

    Args:
        dice: The randomness.
        workspace: Where to write the program.
        edits: The number of edits, each of the same program.

    Returns:
        What was wrong, as pairs of a kind (`same` or `different`) and a text, and the ids.
    """
    program = program_of(dice)
    first = workspace.task_id(program)
    ids, faults = [first], []
    for _ in range(edits):
        edit = edit_of(dice, program)
        ids.append(workspace.task_id(edit.program))
        if edit.changes and ids[-1] == first:
            faults.append(("different", f"one id, but changed: {edit.what}"))
        # Of a module that a function imports and that runs more than definitions, all counts, also
        # the order of a set or a registry as it is written.
        may_count = _imports_late(program)
        if not edit.changes and ids[-1] != first and not may_count:
            faults.append(("same", f"another id, but changed only: {edit.what}"))
    return faults, ids


def _imports_late(program):
    late = (reference for d in program.definitions.values() for reference in d.late)
    return any(reference.way.startswith("lazy") for reference in late)
