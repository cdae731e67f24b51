"""Edits of programs, with what they have to do to the id."""

from __future__ import annotations

import collections

from .definitions import (
    BODIES,
    EARLY,
    FUNCTIONS,
    LITERALS,
    MAY_HAVE_MORE,
    WITH_BODY,
    Reference,
    body_of,
)
from .literals import layout, other_literal
from .program import MODULES

Edit = collections.namedtuple("Edit", "program changes what")


def edit_of(dice, program):
    """Makes an edit.

    Args:
        dice: The randomness.
        program: The program before it.

    Returns:
        The program after it, whether the task depends on what was changed, and a name for it.
    """
    if dice.chance(40):
        return _neutral(dice, program)
    reached = program.reached()
    unreached = [name for name in program.definitions if name not in reached]
    names = unreached if unreached and dice.chance(30) else sorted(reached)
    definition = program.definitions[dice.pick(names)]
    changed, what = _effective(dice, program, definition)
    if changed is None:
        return _neutral(dice, program)
    edited = program.with_definition(changed)
    if dice.chance(30):
        edited = _neutral(dice, edited).program
    return Edit(edited, names is not unreached, f"{what} of {definition.name}")


def _effective(dice, program, d):
    options = [(_change_literal, n) for n in _counted(d)]
    if d.kind in WITH_BODY:
        options += [(_change_operator, None), (_change_body, None), (_drop_reference, None)]
    if d.kind in MAY_HAVE_MORE:
        options.append((_change_extra, None))
    if d.kind in ("class", "partial", "decorated"):
        options.append((_change_early, program))
    change, detail = dice.pick(options)
    return change(dice, d, detail), change.__name__.strip("_").replace("_", " ")


def _counted(d):
    """The positions of the literals on which the definition depends."""
    counted = list(LITERALS.get(d.kind, (3,)))
    if d.kind in WITH_BODY:
        counted += [1, 2] if "{K}" in body_of(d) else [1]
    if d.kind in (*FUNCTIONS, "managed") and (not d.early or d.kind == "decorated"):
        counted.append(0)
    return counted


def _change_literal(dice, d, position):
    literals = list(d.literals)
    literals[position] = other_literal(dice, literals[position])
    return d.changed(literals=literals)


def _change_operator(dice, d, _):
    position = dice.below(min(len(d.late) + 1, len(d.operators)))
    operators = list(d.operators)
    operators[position] = {"+": "-", "-": "*", "*": "+"}[operators[position]]
    return d.changed(operators=operators)


def _change_body(dice, d, _):
    changed = d.changed(template=dice.below(len(BODIES)))
    return changed if body_of(changed) != body_of(d) else None


def _drop_reference(dice, d, _):
    if not d.late:
        return None
    position = dice.below(len(d.late))
    return d.changed(late=d.late[:position] + d.late[position + 1 :])


def _change_extra(dice, d, _):
    return d.changed(extra=not d.extra)


def _change_early(dice, d, program):
    if d.kind == "class":
        return d.changed(early=()) if d.early else None
    kinds = EARLY[d.kind][0]
    others = [
        other
        for other in program.definitions.values()
        # What is defined in the same module has to come first.
        if other.kind in kinds and MODULES.index(other.module) > MODULES.index(d.module)
        and other.name != d.early[0].target
    ]  # fmt: skip
    if not others:
        return None
    return d.changed(early=(Reference(dice.pick(others).name, "from"), *d.early[1:]))


def _neutral(dice, program):
    module = dice.pick(sorted({d.module for d in program.definitions.values()}))
    names = [name for name, d in program.definitions.items() if d.module == module]
    choice = dice.below(4)
    if choice == 0:
        unrelated = {**program.unrelated, module: (program.unrelated.get(module, 0) + 1) % 4}
        return Edit(program.changed(unrelated=unrelated), False, f"something unrelated in {module}")
    if choice == 1 and len(names) > 1:
        order = {**program.order, module: _other_order(dice, program, module)}
        return Edit(program.changed(order=order), False, f"the order in {module}")
    if choice == 2:
        name = dice.pick(names)
        edited = program.with_definition(program.definitions[name].changed(style=layout(dice)))
        return Edit(edited, False, f"the layout of {name}")
    definitions = dict(program.definitions)
    for name in names:
        definitions[name] = definitions[name].changed(style=layout(dice))
    return Edit(program.changed(definitions=definitions), False, f"the layout of {module}")


def _other_order(dice, program, module):
    left = dice.shuffled(d for d in program.definitions.values() if d.module == module)
    order = []
    while left:
        waiting = {d.name for d in left}
        free = [d for d in left if waiting.isdisjoint(r.target for r in d.early)]
        order.append(free[0].name)
        left.remove(free[0])
    return order
