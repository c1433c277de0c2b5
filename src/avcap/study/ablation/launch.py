"""Commands as jobs of a cluster, by submitit."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from avcap.study.runner import Runner, StopSignals, start

JOBS = "jobs"  # folder of submitit's files, inside that of the cell
DAY = 24 * 60  # minutes


class ClusterRunner(Runner):
    """Submits each command as a job and waits for it; to stop, it cancels them.

    Args:
        settings: Settings of ``submitit.AutoExecutor``: ``timeout_min``, ``gpus_per_node``, ``slurm_partition`` ...;
            ``cluster`` chooses what runs it (``slurm``; ``local``: processes of this machine).
        say: Told each command before it runs.
        launch: What to put before each command.

    Raises:
        ImportError: if submitit is not installed.
    """

    def __init__(self, settings: Mapping[str, Any], say: Callable[[str], object], launch: Sequence[str] = ()) -> None:
        super().__init__(say, launch=launch)
        try:
            import submitit
        except ImportError as error:
            raise ImportError(
                "Submitting cells needs submitit, which is not installed; pip install 'avcap[slurm]'."
            ) from error
        self.submitit = submitit
        self.settings = dict(settings)

    def start(self, words: Sequence[str], log: Path | None, inherited: tuple[int, ...]) -> ClusterJob:
        """Submit a command."""
        log = log or Path("log.txt")
        settings = {"name": "_".join(log.parent.parts[-3:]), "timeout_min": DAY, **self.settings}
        executor = self.submitit.AutoExecutor(folder=log.parent / JOBS, cluster=settings.pop("cluster", None))
        executor.update_parameters(**settings)
        return ClusterJob(executor.submit(Resumable(words, log)), log)


class ClusterJob:
    """A job that was submitted, as a process."""

    def __init__(self, job: Any, log: Path) -> None:
        self.job, self.log, self.terminate = job, log, job.cancel

    def wait(self) -> int:
        """Wait for the end, and return the worst exit status of its tasks; why there is none goes into the log."""
        from submitit.core.utils import UncompletedJobError

        try:
            return max(self.job.results(), key=abs)
        except UncompletedJobError as error:
            reason = str(error).strip()
            said = f"{reason}\nThe job gave no result ({reason.splitlines()[0]}); its own log is in {self.log.parent / JOBS}.\n"
            with self.log.open("a", encoding="utf-8") as log:
                log.write(said)
            return 1


class Resumable:
    """A command that submitit queues again when its time is up or its node is taken; it resumes from its last checkpoint."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.words, self.log, self.pid = words, log, 0

    def __call__(self) -> int:
        """Run the command; each process of a job but the first has a log of its own."""
        rank = int(os.environ.get("SLURM_PROCID", 0))
        process = start(self.words, self.log.with_suffix(f".{rank}.txt") if rank else self.log)
        self.pid = process.pid
        with process, StopSignals(lambda _: process.terminate()):
            return process.wait()

    def checkpoint(self) -> Any:
        """Let the training save, then return the job to queue again; submitit calls this inside the job."""
        from submitit.helpers import DelayedSubmission

        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGTERM)
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Resumable(self.words, self.log))


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
