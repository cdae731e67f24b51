"""What a type checker sees of the public API. Checked by mypy, never run."""

from typing_extensions import assert_type

import bandsaw
from bandsaw.advices.ssh import Remote, SshAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.session import Session


@bandsaw.task
def bare(x: int, *, flag: bool = False) -> str:
    return str(x)


@bandsaw.task(chain="fast", config="my_config", anything=1)
def called(x: int) -> list[int]:
    return [x]


class Methods:
    @bandsaw.task
    def method(self, x: int) -> float:
        return float(x)


assert_type(bare(1, flag=True), str)
assert_type(called(2), list[int])
assert_type(Methods().method(3), float)

bare("text")  # type: ignore[arg-type]
bare(1, other=2)  # type: ignore[call-arg]
called()  # type: ignore[call-arg]


class Timing(bandsaw.Advice):
    def before(self, session: Session) -> None:
        session.context["started"] = 1.0
        session.proceed()


configuration = (
    bandsaw.Configuration()
    .add_advice_chain(Timing(), bandsaw.advices.log.LoggingAdvice(), name="fast")
    .add_extension(bandsaw.Extension())
    .set_serializer(bandsaw.JsonSerializer())
    .add_modules_for_distribution("a", "b")
)
assert_type(configuration, bandsaw.Configuration)
interpreter = bandsaw.Interpreter(executable="/usr/bin/python3").set_environment(A="1")
assert_type(interpreter, bandsaw.Interpreter)
environment = bandsaw.Environment(["numpy<2"], python=">=3.9,<3.13").set_environment(A="1")
assert_type(environment, bandsaw.Environment)
assert_type(bandsaw.Environment.from_script("script.py").executable, str)
SubprocessAdvice(interpreter=environment)
SshAdvice().add_remote(Remote("host", interpreter=interpreter))
assert_type(bandsaw.get_run_id(), str)
