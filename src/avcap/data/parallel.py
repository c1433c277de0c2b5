"""Independent jobs, run by several processes under one progress bar."""

from __future__ import annotations

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

PLAN = "plan"  # file that says what unfinished work is about


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


AnyJob = TypeVar("AnyJob", bound=Job)


def run_jobs(
    jobs: Sequence[AnyJob], work: Callable[[AnyJob], None], *, title: str, num_workers: int, progress: bool
) -> None:
    """Run the jobs that are not done yet.

    Args:
        jobs: All jobs.
        work: Does one; it and the jobs are pickled for the worker processes.
        title: What the progress bar is called.
        num_workers: Processes; below 2, this one alone.
        progress: Show a progress bar.
    """
    from tqdm import tqdm

    todo = [job for job in jobs if not job.record.is_file()]
    total = sum(job.clips for job in jobs)
    before = total - sum(job.clips for job in todo)
    with tqdm(total=total, initial=before, desc=title, unit="clip", disable=not progress) as bar:
        if num_workers < 2 or len(todo) < 2:
            for job in todo:
                work(job)
                bar.update(job.clips)
            return
        context = get_context("fork" if sys.platform == "linux" else "spawn")
        with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_one_thread) as pool:
            futures = {pool.submit(work, job): job for job in todo}
            for future in as_completed(futures):
                future.result()
                bar.update(futures[future].clips)


def begin(partial: Path, plan: str) -> None:
    """Make the folder of unfinished work, named by ``.partial``; what was done there by another plan is deleted."""
    stamp = partial / PLAN
    if partial.is_dir() and not (stamp.is_file() and stamp.read_text() == plan):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    stamp.write_text(plan)


def _one_thread() -> None:
    torch.set_num_threads(1)
