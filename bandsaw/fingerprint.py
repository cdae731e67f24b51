"""Fingerprints: what code a function depends on, as a digest.

A function counts by its own definition and by everything first-party that it reaches: helpers,
classes, constants, closures and defaults, through modules, as they are at run time. Installed
distributions count by name and version, the standard library by name.

A definition counts in a normal form: positions, comments, docstrings, the `@task` decorator and
the annotations of functions are left out (annotations in the bodies of classes count, because
dataclasses read them). Where there is no source, the byte code counts, which holds for one minor
version of Python.

Module-level names that functions of the module change while the program runs (a cache, a counter)
count by the statements that first set and fill them, with all that these use; containers that hold
functions or classes count by what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import ModuleType
from typing import Any, Optional

from ._identity import canonical
from ._identity.arguments import joined_arguments, write_arguments
from ._identity.code_digests import Walk, kept_snapshot, snapshot_of
from ._identity.firstparty import canonical_module_name, is_first_party
from ._identity.watch import Watch
from ._system.importing import late_import
from .errors import IdentityWarning
from .identifier import identifier_from_bytes, identifier_from_string

__all__ = [
    "IdentityWarning",
    "canonical_module_name",
    "digest_of_code",
    "execution_id_of",
    "fingerprint",
    "gaps_of",
    "is_current",
    "parts_of",
    "task_id_of",
    "watched_task_id_of",
]


def fingerprint(function: Any, *, skip: Iterable[str] = ()) -> str:
    """Digests a function together with all first-party code that it reaches.

    Args:
        function: A function, class or anything callable.
        skip: Names of modules that count by name only, with the modules below them.

    Returns:
        64 hex digits: the same on every Python, platform and hash seed, and for `__main__` as for
        the module imported by its name.

    Warns:
        IdentityWarning: Something cannot be followed. All such places are named together, once in
            a process.
    """
    walk = Walk()
    digest = walk.digest(function, tuple(skip))
    walk.warn(function)
    return digest.hex()


def gaps_of(function: Any, *, left_out: Collection[str] = ()) -> list[tuple[str, str]]:
    """Lists what the id of a task cannot depend on, because it cannot be followed or watched.

    Args:
        function: The function of the task.
        left_out: Variables that do not count: the names of their modules and their own, dotted.

    Returns:
        The place and the reason of each.
    """
    walk = Walk(left_out)
    walk.digest(function)
    return list(dict.fromkeys(walk.problems))


def is_current(function: Any) -> bool:
    """Says whether the last fingerprint of a function still holds.

    Args:
        function: A function of which a fingerprint was made.

    Returns:
        `False` if there is none, or if a module that it reaches was reloaded since.
    """
    snapshot = kept_snapshot(function)
    return snapshot is not None and snapshot.watch.is_current()


def digest_of_code(code: Any) -> bytes:
    """Digests a function, class or module that is (part of) a value.

    Args:
        code: The function, class, module or code object. Code is read once in a process and again
            after a reload; what a function closes over is read every time.

    Returns:
        32 bytes.
    """
    snapshot = snapshot_of(code)
    if snapshot is not None:
        return snapshot.digest
    walk = Walk()
    digest = walk.digest_in_value(code)
    walk.warn(code)
    return digest


def task_id_of(
    function: Any,
    module_name: str,
    qualified_name: str,
    *,
    version: Optional[Any] = None,
    depends: Iterable[Any] = (),
) -> str:
    """Makes the id of a task.

    Args:
        function: The function that the decorator was given.
        module_name: The module of the task.
        qualified_name: Its qualified name in that module.
        version: The author's word for the state of the code; replaces the fingerprint.
        depends: What the task depends on besides: functions, modules (all their source), and any
            values, among them `bandsaw.File`. The order does not count.

    Returns:
        The id.

    Raises:
        IdentityError: Something in `depends` or the version has no canonical form.

    Warns:
        IdentityWarning: See `fingerprint`.
    """
    return watched_task_id_of(
        function, module_name, qualified_name, version=version, depends=depends
    )[0]


def watched_task_id_of(
    function: Any,
    module_name: str,
    qualified_name: str,
    *,
    version: Optional[Any] = None,
    depends: Iterable[Any] = (),
    left_out: Collection[str] = (),
) -> tuple[str, Watch]:
    """Makes the id of a task, and what notices when it does not hold any more.

    Args:
        function: See `task_id_of`.
        module_name: See `task_id_of`.
        qualified_name: See `task_id_of`.
        version: See `task_id_of`.
        depends: See `task_id_of`.
        left_out: Variables that do not count: the names of their modules and their own, dotted.

    Returns:
        The id, and a watch on what it was made from.

    Raises:
        IdentityError: Something in `depends` or the version has no canonical form.

    Warns:
        IdentityWarning: See `fingerprint`.
    """
    walk = Walk(left_out)
    code: Any
    if version is None:
        code = walk.digest(function).hex()
    else:
        code = digest_of_value(version, name="version")
    digests = sorted({walk.digest_of_dependency(d, n) for n, d in enumerate(tuple(depends))})
    name = canonical_module_name(module_name)
    parts: Any = ("task", name, qualified_name, version is None, code, digests)
    if version is None and not __debug__:
        parts += ("-O",)
    walk.warn(function)
    return identifier_from_string(digest_of_value(parts).hex()), Watch(walk.seen)


def parts_of(
    function: Any,
    *,
    version: Optional[Any] = None,
    depends: Iterable[Any] = (),
    limit: int = 200,
    left_out: Collection[str] = (),
) -> list[list[str]]:
    """Says what a task id is made of, to explain why two of them differ.

    The parts are items of four strings: the kind, the name, the place and a text. Digests are 16
    hex digits.

    | kind           | name           | place         | text                                |
    |----------------|----------------|---------------|-------------------------------------|
    | `function`     | qualified name | `pkg/prep.py` | digest of the definition itself     |
    | `class`        | qualified name | `pkg/prep.py` | the same, with its methods          |
    | `method`       | qualified name | `pkg/prep.py` | digest of the definition itself     |
    | `value`        | name           | where used    | its `repr`, or type and digest      |
    | `assigned`     | name           | `pkg/prep.py` | digest of a statement that computes |
    | `module`       | name           | `pkg/prep.py` | digest                              |
    | `distribution` | name           |               | version                             |
    | `version`      | of which task  | where         | `repr`; no name for the task itself |
    | `depends`      | what           |               | digest                              |
    | `option`       | `-O`           |               | none; of Python, where it was given |

    Args:
        function: See `task_id_of`.
        version: See `task_id_of`.
        depends: See `task_id_of`.
        limit: How many parts there may be before functions, classes and values are told by module
            only.
        left_out: Variables that do not count: the names of their modules and their own, dotted.

    Returns:
        The sorted items. Something is different whenever the task id of the function is, and
        nothing where it is the same, except for the names of dependencies, such as the paths of
        files. They do not depend on the version of Python.

    Raises:
        IdentityError: Something in `depends` or the version has no canonical form.
    """
    with late_import:
        from ._file import File
        from ._identity.part_items import module_item
        from ._identity.parts import dependency_item, parts_of_code, text_of

    def is_whole(dependency: Any) -> bool:
        return isinstance(dependency, ModuleType) and is_first_party(dependency.__name__)

    depends = tuple(depends)
    items = set()
    walk = Walk()
    for position, dependency in enumerate(depends):
        digest = walk.digest_of_dependency(dependency, position)
        items.add(dependency_item(dependency, digest))
        if is_whole(dependency):
            items.add(module_item(dependency.__name__, digest))
    if version is not None:
        items.add(("version", "", "", text_of(version)))
    else:
        reached = [part for part in depends if not (is_whole(part) or isinstance(part, File))]
        items |= set(parts_of_code([function, *reached], limit, left_out))
        if not __debug__:
            items.add(("option", "-O", "", ""))
    return [list(item) for item in sorted(items)]


def digest_of_value(
    value: Any, function_digest: Optional[Callable[[Any], bytes]] = None, **options: Any
) -> bytes:
    """Digests a value, see `bandsaw._identity.canonical.digest_of_value`.

    Args:
        value: Any value.
        function_digest: Digests functions and classes that are first-party. By default the
            fingerprint of their code.
        **options: As there.

    Returns:
        32 bytes.

    Raises:
        IdentityError: Something in the value has no canonical form; the message has the path to it.
    """
    return canonical.digest_of_value(value, function_digest or digest_of_code, **options)


def execution_id_of(
    bound_arguments: Mapping[str, Any],
    *,
    hook: Any = None,
    bulk_hash: Optional[str] = None,
) -> str:
    """Makes the id of an execution.

    Args:
        bound_arguments: The arguments by the names of their parameters, as a binder returns them.
        hook: See `bandsaw._identity.canonical.digest_of_value`.
        bulk_hash: See `bandsaw._identity.canonical.digest_of_value`.

    Returns:
        The id.

    Raises:
        IdentityError: An argument has no canonical form; the message has the path to it.
    """
    written = write_arguments(bound_arguments, digest_of_code, hook, bulk_hash)
    return identifier_from_bytes(joined_arguments(written))
