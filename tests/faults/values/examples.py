"""One example: a value in several forms, a change of it, and calls with them."""

from __future__ import annotations

from bandsaw.execution import Execution
from bandsaw.fingerprint import execution_id_of
from bandsaw.tasks import Task

from .building import Builder, copied, leaf, written
from .changes import mutated
from .recipes import recipe_of


def plain(a, b=3, c=("x", None)):
    return a, b, c


def keyword_only(a, *, b=3, c=("x", None)):
    return a, b, c


def positional_only(a, /, b=3, *rest, c=("x", None), **more):
    return a, b, rest, c, more


def variadic(*rest, **more):
    return rest, more


def calls(dice, one, other, changed):
    """Makes calls of one function.

    Args:
        dice: The randomness.
        one: A value.
        other: An equal one.
        changed: Another one.

    Returns:
        The function, and four calls as `(args, kwargs)`: two that bind the same, two that bind
        something else, the one by another value and the other by the same one elsewhere.
    """
    b, c = 3, ("x", None)
    function = dice.pick((plain, keyword_only, positional_only, variadic))
    if function is variadic:
        where = dice.below(2)
        return (
            function,
            ((one, b), {"p": one, "q": c}), ((other, 3), {"q": ("x", None), "p": other}),
            (((one, changed)[where], b), {"p": (changed, one)[where], "q": c}),
            ((one, b), {"q": one, "p": c}),
        )  # fmt: skip
    if function is keyword_only:
        return (
            function,
            ((one,), {}), ((), {"c": ("x", None), "b": 3, "a": other}),
            ((changed,), {}), ((b,), {"b": one}),
        )  # fmt: skip
    if function is positional_only:
        return (
            function,
            ((one,), {"a": one}), ((other, 3), {"c": c, "a": other}),
            ((one,), {"a": changed}), ((one, one), {}),
        )  # fmt: skip
    return (
        function,
        ((one, b), {}), ((), {"c": c, "b": 3, "a": other}), ((changed,), {}), ((3, one), {}),
    )  # fmt: skip


def faults_of(dice):
    """Makes one example and looks whether ids are equal exactly where values are.

    Args:
        dice: The randomness.

    Returns:
        What was wrong, as pairs of a kind (`same` or `different`) and a text, and the ids.
    """
    recipe = recipe_of(dice)
    change = mutated(dice, recipe)
    value, changed = Builder().build(recipe), Builder(dice).build(change)
    first, ids, faults = execution_id_of({"x": value}), [], []
    ids.append(first)
    equal = {"built another way": Builder(dice).build(recipe), "copied": copied(dice, value)}
    for way, other in equal.items():
        if execution_id_of({"x": other}) != first:
            faults.append(("same", f"{way}, gets another id: {recipe}"))
    ids.append(execution_id_of({"x": changed}))
    if ids[1] == first:
        faults.append(("different", f"one id for {recipe} and {change}"))
    function, *made = calls(dice, value, equal["built another way"], changed)
    task = Task.create_task(function)
    bound = [Execution(None, *call).of_task(task).execution_id for call in made]
    ids += bound
    if bound[0] != bound[1]:
        faults.append(
            ("same", f"{function.__name__}, called another way, gets another id: {recipe}")
        )
    if bound[0] == bound[2]:
        faults.append(("different", f"one id for calls with {recipe} and {change}"))
    # A value can be equal to the default that stands in its place.
    if bound[0] == bound[3] and written(recipe) not in (written(d) for d in _DEFAULTS):
        faults.append(("different", f"one id for {function.__name__} with swapped {recipe}"))
    return faults, ids


_DEFAULTS = (leaf("int", 3), ("tuple", None, (leaf("str", "x"), leaf("none"))))
