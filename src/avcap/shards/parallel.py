"""Independent jobs, run by worker processes that may crash, hang or need too much memory.

Each worker has a pipe of its own and tells on it which clip it is at, so that the clip at fault is known when it dies. (The pools
of the standard library, pebble and loky share one pipe and its lock: a worker that is killed at the wrong moment stops them all.)
"""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from avcap.shards.worker import Work, Worker, death_of, memory_of

PLAN = "plan"  # file that says what unfinished work is about
TICK = 0.2  # seconds between two looks at the workers
ATTEMPTS = 2  # of a clip at which a worker died: the first death may be another's fault


@dataclass(frozen=True)
class Limits:
    """What a worker process may take for one clip; None: any amount.

    Attributes:
        seconds: Time.
        gibibytes: Memory of the process, which has about half a gibibyte to begin with.
    """

    seconds: float | None = None
    gibibytes: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("clip_seconds", self.seconds), ("clip_memory", self.gibibytes)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}.")


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Job(ABC):
    """A part of a folder that is written at one go, and marks its completion.

    Attributes:
        folder: Where it writes.
        number: Its number among the jobs of the folder.
    """

    folder: Path
    number: int

    @property
    @abstractmethod
    def clips(self) -> int:
        """How many clips it is about."""

    @property
    def record(self) -> Path:
        """What it notes when it is complete; its presence says that it is."""
        return self.folder / f"{self.number}.record.json"

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.record.is_file()

    def blame(self, clip: int | None, fault: str) -> None:
        """Note that a clip cannot be made, so that the job can go on without it.

        Args:
            clip: Its position in the job; None: no clip was being made.
            fault: What happened to the worker, as the end of a sentence that begins with the file.

        Raises:
            ChildProcessError: if the job cannot go on.
        """
        raise ChildProcessError(f"Part {self.number} of {self.folder} {fault}; run the command again to go on.")


AnyJob = TypeVar("AnyJob", bound=Job)


def run_jobs(
    jobs: Sequence[AnyJob],
    work: Work[AnyJob],
    *,
    title: str,
    num_workers: int,
    progress: bool,
    limits: Limits = NO_LIMITS,
) -> None:
    """Run the jobs that are not done yet.

    Args:
        jobs: All jobs.
        work: Does one; it and the jobs are pickled for the worker processes. It may yield the position of each clip before
            it makes it, and None when it does something else: then a worker that dies costs only that clip.
        title: What the progress bar is called.
        num_workers: Processes; 0: this one alone, without limits and at the mercy of a decoder that crashes.
        progress: Show a progress bar.
        limits: What a clip may take.

    Raises:
        ChildProcessError: if a worker died and its job cannot go on.
    """
    from tqdm import tqdm

    todo = deque(job for job in jobs if not job.done)
    total = sum(job.clips for job in jobs)
    with tqdm(
        total=total, initial=total - sum(job.clips for job in todo), desc=title, unit="clip", disable=not progress
    ) as bar:
        if not num_workers:
            for job in todo:
                for _ in work(job) or ():
                    pass
                bar.update(job.clips)
            return
        crew = _Crew(todo, work, limits, bar)
        try:
            crew.run(min(num_workers, len(todo)))
        finally:
            crew.end()


def begin(partial: Path, plan: str) -> None:
    """Make the folder of unfinished work, named by ``.partial``; what was done there by another plan is deleted."""
    stamp = partial / PLAN
    if partial.is_dir() and not (stamp.is_file() and stamp.read_text() == plan):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    stamp.write_text(plan)


class _Crew(Generic[AnyJob]):
    """The workers, watched by one thread."""

    def __init__(self, todo: deque[AnyJob], work: Work[AnyJob], limits: Limits, bar: Any) -> None:
        self.todo, self.work, self.limits, self.bar = todo, work, limits, bar
        self.workers: list[Worker[AnyJob]] = []
        self.deaths: Counter[tuple[int, int | None]] = Counter()
        self.shown: Counter[int] = Counter()  # clips of each job that the progress bar counts
        self.clock = 0.0  # seconds, without those in which this process was stopped or the machine slept

    def run(self, count: int) -> None:
        """Do all jobs."""
        self.workers = [Worker(self.work) for _ in range(count)]
        last = time.monotonic()
        while True:
            for worker in self.workers:
                if worker.job is None and self.todo:
                    self._give(worker, self.todo.popleft())
            busy = [worker for worker in self.workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy], timeout=TICK)
            now = time.monotonic()
            self.clock, last = self.clock + min(now - last, 5 * TICK), now
            for worker in busy:
                if worker.pipe in ready:
                    self._listen(worker)
                elif fault := self._excess(worker):
                    self._replace(worker, fault, attempts=1)

    def end(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.kill()

    def _give(self, worker: Worker[AnyJob], job: AnyJob) -> None:
        worker.job, worker.clip = job, None
        with suppress(BrokenPipeError):  # it died while it waited, which the next look tells
            worker.pipe.send(job)

    def _listen(self, worker: Worker[AnyJob]) -> None:
        """Take the messages of a worker: the position of a clip, None between clips, an error, or True at the end of its job."""
        assert worker.job is not None  # noqa: S101 (for the type checker)
        try:
            while worker.pipe.poll():
                message = worker.pipe.recv()
                if isinstance(message, BaseException):
                    raise message
                if message is True:
                    self._show(worker.job, worker.job.clips)
                    worker.job = None
                    return
                worker.clip, worker.begun = message, self.clock
                if message is not None:
                    self._show(worker.job, message)
        except (EOFError, ConnectionResetError):
            worker.process.join(5)
            self._replace(worker, death_of(worker.process.exitcode), attempts=ATTEMPTS)

    def _show(self, job: AnyJob, done: int) -> None:
        self.bar.update(max(0, done - self.shown[job.number]))
        self.shown[job.number] = max(done, self.shown[job.number])

    def _excess(self, worker: Worker[AnyJob]) -> str | None:
        """Return which limit a worker has passed."""
        if worker.clip is None:
            return None
        seconds, gibibytes = self.limits.seconds, self.limits.gibibytes
        if gibibytes is not None and memory_of(worker.process.pid) > gibibytes * 2**30:
            return f"needed more than {gibibytes:g} GiB of memory (--clip_memory)"
        if seconds is not None and self.clock - worker.begun > seconds:
            return f"took longer than {seconds:g} s (--clip_seconds)"
        return None

    def _replace(self, worker: Worker[AnyJob], fault: str, *, attempts: int) -> None:
        """Blame the clip for the end of a worker, and give its job to a new one."""
        job, clip = worker.job, worker.clip
        assert job is not None  # noqa: S101 (for the type checker)
        worker.kill()
        self.deaths[job.number, clip] += 1
        if self.deaths[job.number, clip] >= attempts:
            job.blame(clip, fault)
        self.todo.appendleft(job)
        self.workers[self.workers.index(worker)] = Worker(self.work)
