"""What a type checker sees of decorated functions. Checked by mypy, never run."""

from collections.abc import Iterator
from typing import Any, Callable, TypeVar

from typing_extensions import assert_type

import bandsaw

T = TypeVar("T")


@bandsaw.task
def bare(x: int, *, flag: bool = False) -> str:
    return str(x)


@bandsaw.task()
def empty(x: int) -> str:
    return str(x)


@bandsaw.task(chain="fast", config="my_config", timeout=30, cache={"refresh": True}, ssh={})
def called(x: int) -> list[int]:
    return [x]


@bandsaw.task(version="2", depends=[bare], ignore=["verbose"])
def generic(x: T, verbose: bool = False) -> T:
    return x


@bandsaw.task
def many(*args: int, **kwargs: str) -> None:
    pass


class Methods:
    @bandsaw.task
    def method(self, x: int) -> float:
        return float(x)

    @staticmethod
    @bandsaw.task
    def static(x: int) -> bytes:
        return bytes(x)

    # Type checkers bind a class method only if it is a plain function for them.
    @bandsaw.task
    @classmethod
    def of_class(cls, x: int) -> complex:
        return complex(x)


@bandsaw.task
async def awaited(x: int) -> str:
    assert_type(await awaited(x), str)
    return str(x)


def plain(x: int) -> int:
    return x


assert_type(bare(1, flag=True), str)
assert_type(empty(1), str)
assert_type(called(2), list[int])
assert_type(generic("text"), str)
assert_type(many(1, 2, a="b"), None)
assert_type(Methods().method(3), float)
assert_type(Methods.static(3), bytes)
assert_type(bandsaw.task(plain)(4), int)
assert_type(bandsaw.task(chain="fast")(plain)(4), int)
assert_type(list(map(called, [1, 2])), list[list[int]])
function: Callable[[int], int] = bandsaw.task(plain)

assert_type(bare.submit(1, flag=True), bandsaw.Future[str])
assert_type(bare.submit(bare.submit(1)).result(), str)
assert_type(called.map([1, 2], buffersize=3, timeout=1.5), Iterator[list[int]])
assert_type(Methods().method.submit(3), bandsaw.Future[float])
assert_type(Methods.method.submit(Methods(), 3), bandsaw.Future[float])
assert_type(Methods.static.submit(3), bandsaw.Future[bytes])
assert_type(Methods.static.map([3]), Iterator[bytes])
assert_type(Methods().static.submit(3), bandsaw.Future[bytes])
assert_type(Methods.of_class.submit(3), bandsaw.Future[complex])
assert_type(Methods().of_class.submit(3), bandsaw.Future[complex])
assert_type(Methods.of_class.map([3]), Iterator[complex])
assert_type(bare.submit(1).kill(), bool)
assert_type(awaited.submit(1), bandsaw.Future[str])
assert_type(awaited.map([1]), Iterator[str])
Methods.of_class(3)  # type: ignore

bare("text")  # type: ignore[arg-type]
bare(1, True)  # type: ignore  # its code is another one in older mypy
bare(1, other=2)  # type: ignore[call-arg]
called()  # type: ignore[call-arg]
called(1).append("text")  # type: ignore[arg-type]
many("text")  # type: ignore[arg-type]
Methods().method()  # type: ignore[call-arg]
other: Callable[[str], int] = bandsaw.task(plain)  # type: ignore[arg-type]

bandsaw.task(3)  # type: ignore[call-overload]
bandsaw.task(plain, plain)  # type: ignore[call-overload]
bandsaw.task(plain, chain="fast")  # type: ignore[call-overload]
bandsaw.task(chain=3)  # type: ignore[call-overload]
bandsaw.task(config=bandsaw)  # type: ignore[call-overload]


# The attributes of a decorated function are for advices and tests. A type checker sees a plain
# callable, because only that keeps the signatures of methods.
bare.bandsaw_task  # type: ignore[attr-defined]
bare.bandsaw_configuration  # type: ignore[attr-defined]

explanation = bandsaw.explain(bare, 1, flag=True)
assert_type(explanation.is_hit, bool)
assert_type(explanation.reason, str)
assert_type(explanation.differences, list[str])
bandsaw.explain("bare")  # type: ignore[arg-type]


def untyped(x):  # type: ignore[no-untyped-def]
    return x


assert_type(bandsaw.task(untyped)(1), Any)
