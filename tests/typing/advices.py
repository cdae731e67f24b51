"""What a type checker sees of advices: those that there are, and those that users write."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Optional

from typing_extensions import assert_type

import bandsaw
from bandsaw.advice import advise_task_with_chain
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.log import LoggingAdvice
from bandsaw.advices.retry import RetryAdvice
from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend, SshCommandLineBackend
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.context import Context
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session
from bandsaw.tasks import Task

interpreter = bandsaw.Interpreter(executable="/usr/bin/python3")
environment = bandsaw.Environment(["numpy"])

cache = CachingAdvice(
    Path(".cache"), 10**9, timedelta(days=30), mmap=True, keep_if=lambda value: len(value) > 0
)
assert_type(cache.directory, Path)
CachingAdvice(".cache", max_bytes=None, max_age=0.5)
CachingAdvice()  # type: ignore[call-arg]
CachingAdvice(".cache", "1 GB")  # type: ignore[arg-type]
CachingAdvice(".cache", None, None, True)  # type: ignore  # its code is another one in older mypy
CachingAdvice(".cache", keep_if=True)  # type: ignore[arg-type]

executor = ExecutorAdvice(lambda: ProcessPoolExecutor(2), workers=1, preload=["json"])
assert_type(executor.max_in_flight, Optional[int])
ExecutorAdvice()  # type: ignore[call-arg]

LoggingAdvice()
LoggingAdvice("logger")  # type: ignore[call-arg]

subprocess = SubprocessAdvice(
    "files",
    environment,
    workers=4,
    fork=False,
    preload=["numpy"],
    max_tasks=100,
    idle_timeout=60,
    heartbeat=1.5,
)
assert_type(subprocess.directory, Optional[Path])
assert_type(subprocess.interpreter, bandsaw.Interpreter)
SubprocessAdvice(interpreter="python3")  # type: ignore[arg-type]
SubprocessAdvice(None, None, 4)  # type: ignore  # likewise
SubprocessAdvice(workers="four")  # type: ignore[arg-type]
SubprocessAdvice(preload=[1])  # type: ignore[list-item]
SubprocessAdvice(processes=4)  # type: ignore[call-arg]

remote = Remote(
    "host", 22, "user", Path("key"), interpreter, "/var/tmp", options={"ConnectTimeout": "5"}
)
assert_type(remote.host, str)
assert_type(remote.port, int)
assert_type(remote.user, str)
assert_type(remote.interpreter, bandsaw.Interpreter)
assert_type(remote.directory, Path)
assert_type(remote.options, dict[str, str])
remote.port = None
Remote(interpreter="python3")  # type: ignore[arg-type]
Remote("host", "22")  # type: ignore[arg-type]
Remote("host", options={"ConnectTimeout": None})  # type: ignore[dict-item]

ssh = SshAdvice(
    "files",
    SshCommandLineBackend(),
    workers=4,
    preload=("numpy",),
    max_tasks=100,
    idle_timeout=60,
).add_remote(remote)
assert_type(ssh, SshAdvice)
assert_type(ssh.add_remote(remote, name="other").remotes, dict[str, Remote])
assert_type(ssh.directory, Optional[Path])
assert_type(ssh.backend, SshBackend)
SshAdvice(remote)  # type: ignore[arg-type]
SshAdvice(backend=SshCommandLineBackend)  # type: ignore[arg-type]
ssh.add_remote("host")  # type: ignore[arg-type]
assert_type(SshCommandLineBackend.login(remote), str)
assert_type(SshCommandLineBackend.get_remote_path(remote, Path("/tmp")), str)


class Scheduler(SshBackend):
    def create_dir(self, remote: Remote, remote_path: Path) -> None: ...
    def copy_file_to_remote(self, remote: Remote, local_path: Path, remote_path: Path) -> None: ...
    def copy_file_from_remote(
        self, remote: Remote, remote_path: Path, local_path: Path
    ) -> None: ...
    def execute_remote(self, remote: Remote, executable: str, *arguments: str) -> None: ...
    def delete_dir(self, remote: Remote, remote_path: Path) -> None: ...
    def connection_command(self, remote: Remote, executable: str) -> Optional[Sequence[str]]:
        return ["sh", "-c", executable]


class Half(SshBackend):
    def execute_remote(self, remote: Remote, executable: str, *arguments: str) -> None: ...


SshAdvice(backend=Scheduler())
SshAdvice(backend=Half())  # type: ignore[abstract]


class Timing(bandsaw.Advice):
    def before(self, session: Session) -> None:
        session.context["started"] = 1.0
        assert_type(session.context, Context)
        assert_type(session.proceed(), None)

    def after(self, session: bandsaw.Session) -> None:
        assert_type(session.conclude(Result(value=1)), None)
        session.conclude(1)  # type: ignore[arg-type]
        session.proceed(1)  # type: ignore[call-arg]


class Wrong(bandsaw.Advice):
    def before(self, session: str) -> None: ...  # type: ignore[override]
    def after(self) -> None: ...  # type: ignore[override]


class Counting(bandsaw.Extension):
    def on_init(self, configuration: bandsaw.Configuration) -> None:
        assert_type(configuration.module_name, Optional[str])

    def on_before_advice(self, task: Task, execution: Execution, context: Context) -> None:
        context["calls"] = context.get("calls", 0) + 1

    def on_after_advice(
        self, task: Task, execution: Execution, context: Context, result: bandsaw.Result
    ) -> None:
        assert_type(result.exception, Optional[BaseException])


class WrongExtension(bandsaw.Extension):
    def on_init(self) -> None: ...  # type: ignore[override]


configuration = (
    bandsaw.Configuration()
    .add_advice_chain(Timing(), cache, subprocess, LoggingAdvice())
    .add_advice_chain(ssh, name="remote")
    .add_extension(Counting())
)
task = Task.create_task(os.path.join, {"timeout": 3})
execution = Execution("id", (1, 2), {"a": 3})
assert_type(advise_task_with_chain(task, execution, configuration, "remote"), Result)
advise_task_with_chain(task, (1, 2), configuration)  # type: ignore[arg-type]

RetryAdvice()
RetryAdvice(5, OSError)
RetryAdvice(on=(OSError, ValueError), timeout=60, wait_initial=0, wait_max=1.5)
RetryAdvice(on=lambda error: isinstance(error, OSError))
RetryAdvice(on=lambda error: 0.5 if error.args else None)
RetryAdvice(on="OSError")  # type: ignore[arg-type]
assert_type(RetryAdvice().attempts, int)
assert_type(RetryAdvice().timeout, Optional[float])
assert_type(bandsaw.get_attempt(), int)


class RepeatingAdvice(bandsaw.Advice):
    def after(self, session: bandsaw.Session) -> None:
        assert_type(session.repeat(), None)
