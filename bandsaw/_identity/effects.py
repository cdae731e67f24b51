"""What reached code changes of what it reaches, as far as one walk has found out.

A walk knows that at its end only. When it then counts otherwise than the walk took it to, all is
walked again, with what the one before has found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Optional

from .changes import Changes
from .definitions import definition_of
from .firstparty import is_first_party
from .held_contents import base_of, holds_code
from .kinds import attributes_of, is_a, module_of, mro_of, name_of
from .stored import is_code
from .uses import Uses
from .watch import Seen

# Bases that hold nothing of an object.
_EMPTY = frozenset(("builtins.object", "abc.ABC", "typing.Generic", "typing.Protocol"))


class Effects:
    """Collects what the definitions that a walk reaches assign, fill and call.

    `earlier`: what the walk before has found.
    """

    def __init__(self, seen: Seen, earlier: Optional[Effects] = None) -> None:
        self.seen = seen  # what was read
        # The variables that reached code assigns, and those that it assigns or fills: they count
        # as they are first set.
        self.assigned: set[tuple[int, str]] = set() if earlier is None else set(earlier.assigned)
        self.variables: set[tuple[int, str]] = set() if earlier is None else set(earlier.variables)
        self.attributes = set() if earlier is None else set(earlier.seen.attributes)
        # Of the attributes that reached code changes those that may be a class's. What one walk has
        # found the later ones know: they reach other code, and would else go to and fro.
        self._shared: set[str] = set() if earlier is None else earlier._shared | earlier._shared_now
        self._shared_now: set[str] = set()
        # Of these those that it assigns, and does not fill.
        self._set: set[str] = set() if earlier is None else earlier._set | earlier._set_now
        self._set_now: set[str] = set()
        # The variables of enclosing functions that reached code sets anew, by their cells.
        self.cells: dict[int, Any] = {} if earlier is None else earlier.cells
        self._cells_known = len(self.cells)
        # What was taken for none of these; an attribute has 0 for its variables.
        self._unchanged: set[tuple[int, str]] = set()
        self._unassigned: set[tuple[int, str]] = set()
        self.reads: set[str] = set()  # the attributes that reached code reads
        self.known_reads: Collection[str] = () if earlier is None else earlier.reads
        # With the variables of their modules, and those that they may use.
        self._methods: dict[int, tuple[str, Changes, Mapping[str, Any], set[str]]] = {}
        # Where reached functions, by their names, fill what they are given; and what that is.
        self._filled: set[tuple[str, Any]] = set()
        self._given: list[tuple[Changes, Any, str, Optional[tuple[int, str]]]] = []

    def is_state(self, namespace: Mapping[str, Any], name: str, value: Any) -> bool:
        """Says whether reached code assigns or fills a variable of a module.

        An object whose classes are all of the project is not filled as a whole: what its methods
        change are attributes, and these do not count.
        """
        if _fills_itself(value):
            return True
        key = id(namespace), name
        is_whole = _is_of_the_project(value)
        names, variables = self._shared, self.variables
        if is_whole:
            names, variables = self._set, self.assigned
        if name in names or key in variables:
            return True
        (self._unassigned if is_whole else self._unchanged).add(key)
        return False

    def is_state_attribute(self, name: str, value: Any) -> bool:
        """Says whether reached code assigns or fills an attribute of a class."""
        if holds_code(value) or is_code(value):
            return False
        if name not in self._shared:
            self._unchanged.add((0, name))
        return name in self._shared

    def asks(self) -> bool:
        """Says whether anything was taken for no state."""
        return bool(self._unchanged or self._unassigned)

    def note(self, changes: Changes, uses: Uses, namespace: Mapping[str, Any]) -> None:
        """Notes what a definition that was reached changes."""
        used = {use.chain[0] for use in uses.names}
        for name, method in changes.methods:
            self._methods[id(method)] = name, method, namespace, used
        for each in (changes, *(method for _, method in changes.methods)):
            for called, place, name in each.gives:
                if name in each.parameters:
                    self._given.append((each, (called, place), name, None))
                elif name in used and _may_be_filled(namespace.get(name)):
                    self._given.append((each, (called, place), name, (id(namespace), name)))
            for name in each.names.intersection(each.parameters):
                self._filled.update(each.fills(name))
        self._note_attributes(changes)
        self._note_variables(changes, namespace, used)

    def _note_variables(
        self, changes: Changes, namespace: Mapping[str, Any], used: set[str]
    ) -> None:
        if changes.declared or changes.names:
            names = changes.declared | (changes.names & used)
            self.variables |= {(id(namespace), name) for name in names}
            self.assigned |= {(id(namespace), name) for name in changes.declared}

    def end(self) -> None:
        """Notes at the end of a walk what can be known only then."""
        self._note_called_methods()
        self._note_given()

    def is_settled(self) -> bool:
        """Says whether all was taken for what it is by what is known now."""
        if len(self.cells) > self._cells_known:
            return False
        known = (
            (self._unchanged, self.variables, self._shared_now),
            (self._unassigned, self.assigned, self._set_now),
        )
        return all(
            taken.isdisjoint(variables) and names.isdisjoint(name for _, name in taken)
            for taken, variables, names in known
        )

    def _note_attributes(self, changes: Changes) -> None:
        self.seen.attributes |= changes.attributes
        self._shared_now |= changes.shared
        self._set_now |= changes.assigned
        self.reads |= changes.reads

    def _note_given(self) -> None:
        """Notes the variables that reached code gives to a function that fills what it is given."""
        known = -1
        while known != len(self._filled):
            known = len(self._filled)
            for changes, place, name, variable in self._given:
                if place not in self._filled:
                    continue
                if variable is None:
                    self._filled.update(changes.fills(name))
                else:
                    self.variables.add(variable)

    def _note_called_methods(self) -> None:
        """Notes what methods change that reached code may call; others are called by other code."""
        pending = list(self._methods.values())
        while True:
            called = [each for each in pending if each[0] in self.reads or each[0][:2] == "__"]
            if not called:
                return
            taken = set(map(id, called))
            pending = [each for each in pending if id(each) not in taken]
            for _, changes, namespace, used in called:
                self._note_attributes(changes)
                self._note_variables(changes, namespace, used)


def _may_be_filled(value: Any) -> bool:
    return base_of(value) is not None or bool(attributes_of(value))


def _fills_itself(value: Any) -> bool:
    """Says whether a mapping, or a method of one, keeps what its own `__missing__` makes."""
    if is_a(value, (BuiltinFunctionType, MethodType)):
        value = value.__self__
    if not is_a(value, dict):
        return False
    found = (attributes_of(base).get("__missing__") for base in mro_of(type(value))[:-1])
    missing = next((each for each in found if each is not None), None)
    if not is_a(missing, FunctionType) or not is_first_party(
        str(missing.__globals__.get("__name__"))
    ):
        return False
    return not definition_of(missing).changes.names.isdisjoint(missing.__code__.co_varnames[:1])


def _is_of_the_project(value: Any) -> bool:
    """Says whether nothing installed holds anything of an object."""
    bases = [base for base in mro_of(type(value)) if name_of(base) not in _EMPTY]
    return bool(bases) and all(is_first_party(module_of(base)) for base in bases)
