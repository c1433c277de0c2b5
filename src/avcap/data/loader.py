"""A loader that can stop after any batch and resume there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from avcap.data.collate import collate
from avcap.data.sampler import ClipBatchSampler
from avcap.types import Batch


class ClipLoader:
    """Batches in worker processes, resumable in mid-epoch.

    Lightning puts :meth:`state_dict` into its checkpoints and calls :meth:`load_state_dict` when it resumes. The state is
    the epoch and the number of batches that were handed out: nothing else decides what comes next, because order,
    caption and augmentation are functions of (seed, epoch, id). It is the same on all ranks and free of the number of
    workers, which torchdata's ``StatefulDataLoader`` demands to be unchanged. The loader holds a ``DataLoader`` and is none,
    so that Lightning does not build it anew around samplers of its own.

    Args:
        dataset: Gives a sample for ``(epoch, index)``.
        batch_sampler: The order.
        num_workers: Worker processes; 0 loads in this one.
        persistent: Keep the workers between epochs.
        collate_fn: Samples -> a batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_sampler: ClipBatchSampler,
        *,
        num_workers: int = 0,
        persistent: bool = False,
        collate_fn: Callable[[list[Any]], Any] = collate,
    ) -> None:
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self._epoch = batch_sampler.epoch  # the epoch that ``_step`` counts in
        self._step = 0
        self._loader = DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=collate_fn,
            worker_init_fn=_obey_the_main_process_alone,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=persistent and num_workers > 0,
        )

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, on every rank."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._epoch, self._step = self.batch_sampler.epoch, self.batch_sampler.start
        for batch in self._loader:
            self._step += 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.batch_sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, int | bool]:
        """Return the epoch and the batches handed out so far."""
        begun = self._epoch == self.batch_sampler.epoch
        return self.batch_sampler.state_dict(self._step if begun else self.batch_sampler.start)

    def load_state_dict(self, state: dict[str, int | bool]) -> None:
        """Begin the next iteration after the batches that ``state`` counts.

        Raises:
            ValueError: if the data or the batch size have changed since.
        """
        self.batch_sampler.load_state_dict(state)
        self._epoch, self._step = self.batch_sampler.epoch, self.batch_sampler.start


def _obey_the_main_process_alone(_worker: int) -> None:
    """Let a worker outlive SIGTERM and SIGINT that do not come from the main process.

    Schedulers and terminals signal every process of a run. The main one then stops at the end of its step, saves, and
    ends its workers; had one died before, the step would fail and nothing be saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux: tells who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()


def _end_when_told_by(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        continue
    os._exit(0)
