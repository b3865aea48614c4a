"""Jobs: submitted once, collected with patience, and written down, so that no finished work is ever done again."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from qiskit.circuit.exceptions import CircuitError
from qiskit.transpiler.exceptions import TranspilerError

from qmljax.primitives._journal import Answer, Journal

LONGEST_WAIT = 60.0  # seconds between two attempts
sleep = time.sleep

# What asking again cannot help. Errors of the runtime client are known by name: it is not imported here.
_INPUT = (TypeError, ValueError, LookupError, AttributeError, NotImplementedError, AssertionError, ImportError, Warning)
_INPUT_NAMES = {"IBMInputValueError", "IBMNotAuthorizedError", "InvalidAccountError", "AccountNotFoundError"}
_OVER = {"ERROR", "FAILED", "CANCELLED"}
_GONE = {"RuntimeJobNotFound"}
_OUT_OF_TIME = {"RuntimeJobMaxTimeoutError"}


class JobError(RuntimeError):
    """A job did not give a result.

    Attributes:
        job_id: The id of the job, or None if it could not even be submitted.

    Example:
        >>> from qmljax.primitives import JobError
        >>> try:
        ...     raise JobError("The job failed.", "d1abc")
        ... except JobError as error:
        ...     print(error.job_id)
        d1abc
    """

    def __init__(self, message: str, job_id: str | None = None):
        super().__init__(message)
        self.job_id = job_id


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some rows, which one job runs.

    Attributes:
        digest: A hash of all that the answer depends on.
        submit: Submits the job.
        read: Turns its result into the answer.
        shape: Of the answer: (rows, outputs).
    """

    digest: str
    submit: Callable[[], Any]
    read: Callable[[Any], Answer]
    shape: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Runner:
    """Runs chunks on a primitive.

    Attributes:
        primitive: Any V2 primitive.
        journal: Where answers are written down.
        max_retries: How often a step that may pass is tried again, with back-off.
        timeout: Seconds to wait for a result; None waits as long as it takes.
        service: What knows jobs by their id, as `QiskitRuntimeService` does; None where jobs die with the process.
        bar: A progress bar, or None.
    """

    primitive: Any
    journal: Journal
    max_retries: int
    timeout: float | None
    service: Any = None
    bar: Any = None

    def run(self, chunks: Sequence[Chunk]) -> list[Answer]:
        """The answers to all chunks.

        Everything is submitted before anything is waited for; but jobs that die with the process run one by one if
        there is a journal, so that each answer is written down before the next job. If one fails, all others that were
        submitted are collected, and written down, before the error is raised.
        """
        keys = [self.journal.key(chunk.digest) for chunk in chunks]
        answers: list[Any] = [self.journal.answer(key) for key in keys]
        for chunk, answer in zip(chunks, answers, strict=True):
            if answer is not None:
                self._check(chunk, answer)
        one_by_one = self.service is None and self.journal.path is not None
        for some in [[k] for k in range(len(chunks))] if one_by_one else [range(len(chunks))]:
            self._run(some, chunks, keys, answers)
        return answers

    def _check(self, chunk: Chunk, answer: Answer) -> None:
        """Refuses what is written down and cannot be an answer: anybody may write a journal."""
        values, stds = answer
        if not (values.shape == stds.shape == chunk.shape and np.isfinite(values).all() and not (stds < 0).any()):
            raise ValueError(
                f"The journal {str(self.journal.path)!r} must hold finite numbers of shape {chunk.shape} for what is "
                f"asked, but holds values of shape {values.shape}, with errors of shape {stds.shape}. Take another "
                "copy, or a new file."
            )

    def _run(
        self, some: Sequence[int], chunks: Sequence[Chunk], keys: Sequence[str], answers: list[Answer | None]
    ) -> None:
        """Puts the answers to some chunks into `answers`."""
        jobs: dict[int, Any] = {}
        error: Exception | None = None
        for k in some:
            if answers[k] is None:
                try:
                    jobs[k] = self._known(keys[k]) or self._submit(chunks[k], keys[k])
                except Exception as problem:
                    error = problem
                    break
        for k in some:
            if k in jobs:
                try:
                    answers[k] = self._collect(chunks[k], keys[k], jobs[k])
                except Exception as problem:
                    error = error or problem
            if self.bar is not None and answers[k] is not None:
                self.bar.update()
        if error is not None:
            raise error

    def _known(self, key: str) -> Any:
        """The job of an earlier process that was to answer this, if it can be found."""
        if self.service is None:
            return None
        if key in self.journal.jobs:
            try:
                return self._persistently(lambda: self.service.job(self.journal.jobs[key]), self.journal.jobs[key])
            except Exception as error:
                if type(error).__name__ not in _GONE:
                    raise
        if key in self.journal.announced:  # submitted perhaps, before the process was killed
            found = self._persistently(lambda: self.service.jobs(job_tags=[_tag(key)], limit=1), None)
            if found:
                self.journal.write(key, job=_id(found[0]))
                return found[0]
        return None

    def _submit(self, chunk: Chunk, key: str) -> Any:
        if self.service is not None:
            self.journal.write(key, tag=_tag(key))
        with tagged(self.primitive, ["qmljax", _tag(key)]):
            job = self._persistently(chunk.submit, None)
        self.journal.write(key, job=_id(job))
        return job

    def _persistently(self, action: Callable[[], Any], job_id: str | None) -> Any:
        """The result of an action, which is tried again if its error may pass."""
        for attempt in range(self.max_retries + 1):
            try:
                return action()
            except Exception as error:
                if not may_pass(error):
                    raise
                if attempt == self.max_retries:
                    what = "A job could not be submitted" if job_id is None else f"Job {job_id} could not be asked for"
                    raise JobError(f"{what} in {attempt + 1} attempts: {_said(error)}.{self._hint}", job_id) from error
                sleep(min(LONGEST_WAIT, 2.0**attempt))

    def _collect(self, chunk: Chunk, key: str, job: Any) -> Answer:
        attempt = 0
        while True:
            try:
                answer = chunk.read(self._result(job))
            except Exception as error:
                state = _state(job)
                name, fatal = _id(job), None
                if type(error).__name__ in _OUT_OF_TIME:
                    fatal = "ran out of time: lower `max_executions_per_job`"
                elif state == "CANCELLED":
                    fatal = "was cancelled: run again to submit it anew"
                elif not may_pass(error):
                    fatal = "was refused"
                elif self.timeout is not None and state not in {"DONE", *_OVER} and _is_timeout(error):
                    message = f"Job {name} gave no result in {self.timeout} s; it is {state.lower() or 'unknown'}."
                    raise JobError(message + self._hint, name) from error
                elif attempt == self.max_retries:
                    fatal = f"failed in {attempt + 1} attempts"
                over = state in _OVER or type(error).__name__ in _OUT_OF_TIME
                if fatal:
                    if over:
                        self.journal.write(key, failed=name)
                    raise JobError(f"Job {name} {fatal}: {_said(error)}.{self._hint}", name) from error
                sleep(min(LONGEST_WAIT, 2.0**attempt))
                attempt += 1
                if over:  # else it is still there, and asked again
                    self.journal.write(key, failed=name)
                    job = self._submit(chunk, key)
                continue
            self.journal.write(key, answer, job=_id(job))
            return answer

    def _result(self, job: Any) -> Any:
        if self.timeout is None:
            return job.result()
        try:
            return job.result(timeout=self.timeout)
        except TypeError:  # a local job, which takes no timeout
            return job.result()

    @property
    def _hint(self) -> str:
        if self.journal.path is None:
            return " With `journal=` nothing that finished would be lost."
        return f" What finished is in {self.journal.path}: run again to continue."


def may_pass(error: Exception) -> bool:
    """Whether trying again may help; it cannot where the input is wrong."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429):
        return False
    named = {cls.__name__ for cls in type(error).__mro__}
    return not isinstance(error, (*_INPUT, CircuitError, TranspilerError)) and not named & (_INPUT_NAMES | _GONE)


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or "Timeout" in type(error).__name__


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")


def _id(job: Any) -> str:
    return str(job.job_id() if callable(job.job_id) else job.job_id)


def _state(job: Any) -> str:
    """QUEUED, RUNNING, DONE, CANCELLED, ERROR, ... or "" where that cannot be asked."""
    try:
        status = job.status()
    except Exception:
        return ""
    return str(getattr(status, "name", status)).upper()


def _tag(key: str) -> str:
    return "qmljax-" + key.replace(":", "-")


_tagging = threading.Lock()


@contextlib.contextmanager
def tagged(primitive: Any, tags: list[str]) -> Iterator[None]:
    """Adds tags to the jobs that the primitive submits meanwhile, if it knows tags."""
    environment: Any = getattr(getattr(primitive, "options", None), "environment", None)
    if not hasattr(environment, "job_tags"):
        yield
        return
    with _tagging:
        before = environment.job_tags
        environment.job_tags = [*(before or []), *tags]
        try:
            yield
        finally:
            environment.job_tags = before
