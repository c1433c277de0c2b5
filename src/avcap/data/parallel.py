"""Independent jobs, run by several processes under one progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Protocol, TypeVar

import torch


class Job(Protocol):
    """A job that marks its completion."""

    @property
    def clips(self) -> int:
        """How many clips it is about."""

    @property
    def done(self) -> bool:
        """Whether it was completed before."""


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

    todo = [job for job in jobs if not job.done]
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


def _one_thread() -> None:
    torch.set_num_threads(1)
