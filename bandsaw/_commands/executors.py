"""What `bandsaw check` says of an executor: whether it is reached, and what its workers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Optional

from ..advices.executor import ExecutorAdvice

# A worker of Slurm is a job, which may have to wait.
_SECONDS = 60.0
# Run in the worker, which needs no bandsaw for it.
_PROBE = (
    "(lambda sys, find: {'python': '.'.join(map(str, sys.version_info[:3])), "
    "'missing': [name for name in names if not find(name)], "
    "'os': __import__('os').name})"
    "(__import__('sys'), __import__('importlib.util').util.find_spec)"
)


def reach_executor(
    advice: ExecutorAdvice, modules: Sequence[str], too_old: Any
) -> tuple[str, str, Optional[str]]:
    """Returns what the executor of an advice is, what was found there, and what is wrong."""
    what = "executor"
    try:
        executor = advice._executor()
        what = f"executor {type(executor).__name__}"
        names = [*modules, *([] if advice.isolate else ["bandsaw"])]
        workers = _asked(executor, names)
    except FutureTimeoutError:
        return what, "", f"no worker has begun with a call in {_SECONDS:g} s"
    except Exception as error:
        return what, "", f"cannot be reached: {type(error).__name__}: {error}"
    return what, *_said(workers, advice.isolate, too_old)


def _asked(executor: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    probe = (eval, _PROBE, {"names": names})
    ask_all = getattr(executor, "_ask_all", None)
    if ask_all is not None:
        return ask_all(_SECONDS, *probe)  # type: ignore[no-any-return]
    return [executor.submit(*probe).result(_SECONDS)]


def _said(
    workers: Sequence[dict[str, Any]], isolate: bool, too_old: Any
) -> tuple[str, Optional[str]]:
    if not workers:
        return "", "it has no workers"
    versions = Counter(worker["python"] for worker in workers)
    missing = Counter(name for worker in workers for name in worker["missing"])
    pythons = [
        f"Python {version}" + (f" ({number} workers)" if len(versions) > 1 else "")
        for version, number in sorted(versions.items())
    ]
    parts = [f"{len(workers)} worker{'s' * (len(workers) > 1)} asked", *pythons]
    if missing:
        lacking = [
            name + (f" ({number} workers)" if number < len(workers) else "")
            for name, number in sorted(missing.items())
        ]
        parts.append(f"not installed there: {', '.join(lacking)}")
    problem = next(filter(None, map(too_old, versions)), None)
    if any(worker["os"] != "posix" for worker in workers):
        problem = "its workers have no POSIX system"
    if missing["bandsaw"] and not isolate:
        problem = "bandsaw is not installed there, which isolate=False needs"
    return ", ".join(parts), problem
