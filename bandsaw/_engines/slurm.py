"""Calls as jobs of Slurm, by submitit: each a job, or a part of a job array.

submit ─► waiting ─► thread: one array of what came at once ─► sbatch
future ◄─ thread: the result's file, or what one `squeue` says of all jobs
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Optional, Union

from .._arguments import checked_path, checked_seconds
from .._system import ending
from .._system.directories import Anchor
from .._workers.executor.engine import Engine
from .._workers.executor.engine_claims import HERE, Claims
from . import slurm_jobs
from .executor import EngineExecutor, begun_future

# Calls that are submitted within this time go into one array.
_TOGETHER_SECONDS = 0.1
# A job has ended for so many looks before its result counts as lost: shared folders are late.
_MOST_LOOKS = 5
# One that was preempted may be put back into the queue after its processes have ended.
_MOST_LOOKS_PREEMPTED = 60
# Nobody waits long for the word that it was.
_MOST_LOOKS_DOUBTFUL = 6
# So long Slurm may give no answer until calls of which there is no result count as lost.
_MOST_SILENCE_SECONDS = 300.0
# So often jobs are told that somebody waits for them.
_ALIVE_SECONDS = 60.0
_SECONDS_TO_END = 30.0
logger = logging.getLogger(__name__)


class SlurmExecutor(EngineExecutor):
    """Submits calls to Slurm.

    Args:
        folder: A folder on a file system that the machines share. Files of jobs are removed
            when none is left.
        poll: After how many seconds each time it is looked for results. Slurm is asked at most
            once each second.
        **parameters: Parameters of the jobs as submitit has them: `time` in minutes, `partition`,
            `mem_gb`, `cpus_per_task`, `gpus_per_node` and so on.

    Attributes:
        folder: The folder, a `Path`.
        parameters: As given.

    Raises:
        InvalidValueError: If `folder` is no path, or `poll` no number of seconds (a `ValueError`).
    """

    engine = "slurm"
    package = "submitit"
    max_in_flight = 200
    _pack_seconds = 10.0
    task_options = (
        *("account", "additional_parameters", "comment", "constraint", "cpus_per_gpu"),
        *("cpus_per_task", "exclude", "exclusive", "gpus", "gpus_per_node", "gpus_per_task"),
        *("gres", "mem", "mem_gb", "mem_per_cpu", "mem_per_gpu", "nodelist", "partition", "qos"),
        *("setup", "srun_args", "teardown", "time", "timeout_min", "use_srun"),
    )

    def __init__(
        self, folder: Union[str, os.PathLike[str]], *, poll: float = 1.0, **parameters: Any
    ) -> None:
        checked_seconds("poll", poll, "SlurmExecutor")
        # Absolute, wherever the program goes afterwards.
        given = Path(checked_path("folder", folder, " of a SlurmExecutor"))
        self.folder = Path(Anchor().of(given))
        self.parameters = parameters
        self._poll = poll
        self._claims = Claims(lambda: str(self._jobs_folder))
        super().__init__()

    def _start_anew(self) -> None:
        super()._start_anew()
        _running.discard(self)
        self._shared = slurm_jobs.SharedFolder(self.folder)
        self._waiting: list[slurm_jobs.JobCall] = []
        self._submitting: set[Future[Any]] = set()
        self._jobs: dict[Future[Any], slurm_jobs.Job] = {}
        # Jobs that are to be cancelled, and those of which Slurm was told so.
        self._unwanted: list[Any] = []
        self._cancelled: list[Any] = []
        self._wakeup = threading.Event()
        self._thread: Any = None
        self._asked_at = self._answered_at = self._alive_at = 0.0
        self._is_over = False
        # What submitit writes for jobs of this process. Removed when none is left.
        self._jobs_folder = self.folder / f"jobs-{os.urandom(8).hex()}"

    def submit_with(
        self, options: Mapping[str, Any], function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        """Submits a call with options. See `EngineExecutor.submit_with`."""
        self._imported("submitit")
        future = begun_future()
        settings = tuple(sorted({**self.parameters, **options}.items(), key=lambda item: item[0]))
        with self._lock:
            # Results are pickles, and claims say what runs: they are for this user only.
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            self._jobs_folder.mkdir(0o700, exist_ok=True)
            if not self._waiting:
                self._give_sign_of_life()
            _running.add(self)
            if self._thread is None:
                self._is_over = False
                thread = threading.Thread(target=self._serve, daemon=True, name="bandsaw-slurm")
                thread.start()  # maybe there are no more threads
                self._thread = thread
            self._waiting.append(slurm_jobs.JobCall(settings, function, args, future))
        self._wakeup.set()
        return future

    def _give_sign_of_life(self) -> None:
        # See `engine_claims.is_forsaken`.
        now = time.monotonic()
        if now - self._alive_at > _ALIVE_SECONDS or not self._alive_at:
            self._alive_at = now
            (self._jobs_folder / "alive").touch()

    def _kill(self, call: str, future: Optional[Future[Any]]) -> None:
        if future is None:
            HERE.end(call)  # if that is this machine
            return
        with self._lock:
            self._give_up(future)
        self._wakeup.set()

    def _give_up(self, future: Future[Any]) -> bool:
        """Has a call not be submitted, or its job cancelled; returns whether that was too early."""
        before = len(self._waiting)
        self._waiting = [one for one in self._waiting if one.future is not future]
        job = self._jobs.pop(future, None)
        if job is not None:
            self._unwanted.append(job.job)  # it may still write its result
        # What `sbatch` is about to be told is cancelled afterwards.
        self._submitting.discard(future)
        return len(self._waiting) < before

    def _withhold(self, call: str, future: Optional[Future[Any]]) -> bool:
        if future is not None:
            with self._lock:
                if any(one.future is future for one in self._waiting):
                    return self._give_up(future)
        is_sure = self._claims.take(call)
        if is_sure and future is not None:
            self._kill(call, future)
        return is_sure

    def _bandsaw_engine(self, **more: Any) -> Engine:
        return super()._bandsaw_engine(
            shared=self._shared.archive,
            claims=self._claims,
            is_here=True,
            store=self._shared.stored,
            shared_file=self._shared.file,
            files_back=str(self.folder),
            # A job that is preempted, or whose node fails, is put back into the queue by Slurm.
            repeats=True,
        )

    def shutdown(self, wait: bool = True) -> None:
        """Cancels the jobs that are left.

        Args:
            wait: Whether to wait until nothing is left of them.
        """
        with self._lock:
            left = [one.future for one in self._waiting]
            left += [*self._submitting, *self._jobs]
            for future in left:
                self._give_up(future)
            thread = self._thread
            self._is_over = True
        for future in left:
            future.set_exception(ConnectionError("the executor was shut down"))
        self._wakeup.set()
        if wait and thread is not None:
            thread.join(_SECONDS_TO_END)
        _running.discard(self)

    # The thread

    def _serve(self) -> None:
        while True:
            is_busy = self._jobs or self._unwanted or self._cancelled
            self._wakeup.wait(self._poll if is_busy else None)
            if self._wakeup.is_set() and not self._is_over:
                time.sleep(_TOGETHER_SECONDS)
            self._wakeup.clear()
            with self._lock:
                calls, self._waiting = self._waiting, []
                self._submitting = {one.future for one in calls}
                if not (calls or self._jobs or self._unwanted or self._cancelled):
                    shutil.rmtree(self._jobs_folder, ignore_errors=True)
                    self._alive_at = 0.0
                    if self._is_over:
                        self._thread = None
                        return
                    continue
            while calls:
                first = calls[0]
                same = [one for one in calls if repr(one.options) == repr(first.options)]
                calls = [one for one in calls if one not in same]
                try:
                    self._submit_array(same)
                except Exception as error:
                    self._refuse(same, error)
            try:
                self._give_sign_of_life()
                self._cancel_unwanted()
                self._look()
            except Exception as error:
                # A shared file system may answer again. Calls are not lost for it.
                logger.warning("Jobs of Slurm cannot be looked at now: %s", error)
            if not (self._jobs or self._unwanted or self._cancelled):
                self._wakeup.set()

    def _submit_array(self, calls: Sequence[slurm_jobs.JobCall]) -> None:
        with self._lock:
            calls = [one for one in calls if one.future in self._submitting]
        if not calls:
            return
        jobs = slurm_jobs.submit(self._imported("submitit"), self._jobs_folder, calls)
        with self._lock:
            for one, job in zip(calls, jobs):
                if one.future in self._submitting:
                    self._jobs[one.future] = slurm_jobs.Job(job, one.future)
                else:
                    self._unwanted.append(job)
            self._submitting.difference_update(one.future for one in calls)

    def _refuse(self, calls: Sequence[slurm_jobs.JobCall], error: Exception) -> None:
        with self._lock:
            left = [one.future for one in calls if one.future in self._submitting]
            self._submitting.difference_update(left)
        for future in left:
            future.set_exception(error)

    def _cancel_unwanted(self) -> None:
        with self._lock:
            jobs, self._unwanted = self._unwanted, []
        told = slurm_jobs.cancel(jobs)
        with self._lock:
            self._cancelled += told
            self._unwanted += jobs[len(told) :]  # they are told of next time

    def _look(self) -> None:
        with self._lock:
            jobs = list(self._jobs.values())
        missing = [job for job in jobs if not self._took(job)]
        now = time.monotonic()
        if not (missing or self._cancelled) or now - self._asked_at < 1.0:
            return
        if now - self._asked_at > _MOST_SILENCE_SECONDS:
            self._answered_at = now  # nobody has asked meanwhile
        self._asked_at = now
        states = slurm_jobs.states()
        if states is None:
            # It may answer again.
            if now - self._answered_at > _MOST_SILENCE_SECONDS:
                silent = ConnectionError(f"Slurm has not answered for {_MOST_SILENCE_SECONDS:g} s")
                for job in missing:
                    self._settle(job, error=silent)
                self._cancelled.clear()
            return
        self._answered_at = now
        # Processes that ignore the first signal have time until Slurm kills them: nobody waits.
        over = slurm_jobs.OVER | {"COMPLETING"} if self._is_over else slurm_jobs.OVER
        for cancelled in list(self._cancelled):
            if states.get(cancelled.job_id, "CANCELLED") in over:
                self._cancelled.remove(cancelled)
        for job in missing:
            self._judge(job, states.get(job.job.job_id))

    def _judge(self, job: slurm_jobs.Job, state: Optional[str]) -> None:
        """Finds out whether a job without a result that counts is lost."""
        is_preempted = state == "PREEMPTED"
        if state is not None and state not in slurm_jobs.OVER and not is_preempted:
            job.looks = 0
            if job.is_doubtful and state not in slurm_jobs.RUNNING:
                # It was put back into the queue, and this is of the run that was ended for it.
                job.is_doubtful = False
                job.job.paths.result_pickle.unlink(missing_ok=True)
            return
        job.looks += 1
        most = _MOST_LOOKS_PREEMPTED if is_preempted else _MOST_LOOKS
        if job.is_doubtful and not is_preempted:
            if job.looks < _MOST_LOOKS_DOUBTFUL:
                return  # it counts as failed for a moment before it waits again
            if state in slurm_jobs.BY_SLURM:
                self._settle(job, error=slurm_jobs.lost(job.job, state))
            else:
                # Since then it may have been run again, so fast that nobody has seen it wait.
                self._settle_with_result(job)
        elif job.looks >= most and not self._took(job):
            self._settle(job, error=slurm_jobs.lost(job.job, state))

    def _took(self, job: slurm_jobs.Job) -> bool:
        if job.is_doubtful or not job.job.paths.result_pickle.exists():
            return False
        return self._settle_with_result(job, takes_all=False)

    def _settle_with_result(self, job: slurm_jobs.Job, takes_all: bool = True) -> bool:
        try:
            value = job.job.result()
        except Exception as error:
            is_late = "timed-out too many times" in str(error)
            self._settle(job, error=slurm_jobs.lost(job.job, "TIMEOUT") if is_late else error)
            return True
        if not takes_all and slurm_jobs.is_doubtful(value):
            job.is_doubtful = True
            return False
        self._settle(job, value)
        return True

    def _settle(self, job: slurm_jobs.Job, value: Any = None, error: Any = None) -> None:
        with self._lock:
            if self._jobs.pop(job.future, None) is None:
                return
        if error is None:
            job.future.set_result(value)
        else:
            job.future.set_exception(error)


_running: weakref.WeakSet[SlurmExecutor] = weakref.WeakSet()


@ending.at_exit
def _shut_all_down() -> None:
    for executor in list(_running):
        executor.shutdown()
