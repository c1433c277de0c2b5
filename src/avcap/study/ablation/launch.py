"""Cells as jobs of a cluster, by submitit."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Any

import yaml

from avcap.study.ablation.cell import Cell, trainings
from avcap.study.ablation.status import LOG
from avcap.study.signals import StopSignals

JOBS = "jobs"  # folder of submitit's files, inside that of the cell
DAY = 24 * 60  # minutes


class ClusterJob:
    """Submits a cell as one job and waits for it.

    Args:
        settings: Settings of ``submitit.AutoExecutor``: ``timeout_min``, ``gpus_per_node``, ``slurm_partition`` ...;
            ``cluster`` chooses what runs it (``slurm``; ``local``: processes of this machine).

    Raises:
        ImportError: if submitit is not installed.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ImportError(
                "Submitting cells needs submitit, which is not installed; pip install 'avcap[slurm]'."
            ) from error
        self.submitit = submitit
        self.settings = dict(settings)

    def __call__(self, cell: Cell) -> int:
        """Run the cell as a job, and return the exit status. If this process gets a stop signal, it cancels the job."""
        settings = {"name": "_".join(cell.out.parts[-3:]), "timeout_min": DAY, **self.settings}
        executor = self.submitit.AutoExecutor(folder=cell.out / JOBS, cluster=settings.pop("cluster", None))
        executor.update_parameters(**settings)
        job = executor.submit(Resumable(cell))
        with StopSignals(lambda _: job.cancel()) as stop:
            try:
                code = max(job.results(), key=abs)
            except self.submitit.core.utils.UncompletedJobError as error:
                code = _not_finished(cell, error)
        return 128 + stop.received if stop.received else code


class Resumable:
    """A cell that submitit queues again when its time is up or its node is taken; it resumes from its last checkpoint."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    def __call__(self) -> int:
        """Run the cell."""
        return self.cell()

    def checkpoint(self) -> Any:
        """Let the training save, then return the job to queue again; submitit calls this inside the job."""
        from submitit.helpers import DelayedSubmission

        running = tuple(trainings)
        os.kill(os.getpid(), signal.SIGTERM)  # the cell passes it on to the training
        for process in running:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(self)


def _not_finished(cell: Cell, error: Exception) -> int:
    """Put into the log why a job has no result."""
    reason = str(error).strip()
    with (cell.out / LOG).open("a", encoding="utf-8") as log:
        log.write(
            f"{reason}\nThe job gave no result ({reason.splitlines()[0]}); its own log is in {cell.out / JOBS}.\n"
        )
    return 1


def read_settings(text: str) -> dict[str, Any]:
    """Convert ``"gpus_per_node=1 slurm_partition=gpu"`` to a mapping; values are read as YAML.

    Raises:
        ValueError: if a word has no ``=``.
    """
    words = text.split()
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no setting; write --submit 'name=value name=value'.")
    return {name: yaml.safe_load(value) for name, _, value in (word.partition("=") for word in words)}
