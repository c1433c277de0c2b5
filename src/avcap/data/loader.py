"""A loader that can stop after any batch and resume there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from avcap.data.collate import UNREADABLE, collate
from avcap.data.sampler import ClipBatchSampler
from avcap.ids import name_some
from avcap.types import Batch

log = logging.getLogger(__name__)

UNREADABLE_SHARE = 0.01  # of the training clips: above it a run stops


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
        notes: JSON-lines file to which the clips that were replaced are appended; None: only the log names them.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_sampler: ClipBatchSampler,
        *,
        num_workers: int = 0,
        persistent: bool = False,
        collate_fn: Callable[[list[Any]], Any] = collate,
        notes: Path | None = None,
    ) -> None:
        self.unreadable: dict[str, str] = {}  # training clips that were replaced, with the reasons
        self._notes = notes
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self._epoch = batch_sampler.epoch  # the epoch that ``_step`` counts in
        self._step = 0
        self._loader = DataLoader(
            _Batches(dataset, collate_fn),
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=_obey_the_main_process_alone,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=persistent and num_workers > 0,
        )

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, on every rank."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._epoch, self._step = self.batch_sampler.epoch, self.batch_sampler.start
        with _signals_held_back():
            batches = iter(self._loader)
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            self._note(batch.pop(UNREADABLE, {}))
            self._step += 1
            yield batch

    def _note(self, found: dict[str, str]) -> None:
        """Count clips that were replaced.

        Raises:
            ValueError: if they are more than 1 % of all.
        """
        new = {clip: reason for clip, reason in found.items() if clip not in self.unreadable}
        if not new:
            return
        self.unreadable |= new
        for reason in new.values():
            log.warning("A training clip is replaced by the next one: %s", reason)
        if self._notes is not None:
            self._notes.parent.mkdir(parents=True, exist_ok=True)
            with self._notes.open("a", encoding="utf-8") as file:
                file.writelines(
                    f"{json.dumps({'id': clip, 'reason': new[clip]}, ensure_ascii=False)}\n" for clip in new
                )
        count, clips = len(self.unreadable), self.batch_sampler.clips
        if count > UNREADABLE_SHARE * clips:
            raise ValueError(
                f"{count} of {clips} training clips cannot be read, more than {UNREADABLE_SHARE:.0%}: "
                f"{name_some(list(self.unreadable), at_most=20)}; `avcap data verify` lists all. {next(iter(self.unreadable.values()))}"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.batch_sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch and the batches handed out so far."""
        begun = self._epoch == self.batch_sampler.epoch
        return self.batch_sampler.state_dict(self._step if begun else self.batch_sampler.start)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin the next iteration after the batches that ``state`` counts.

        Raises:
            ValueError: if the data or the batch size have changed since.
        """
        self.batch_sampler.load_state_dict(state)
        self._epoch, self._step = self.batch_sampler.epoch, self.batch_sampler.start


class _Batches(Dataset):
    """Keys -> a batch; or the fault that a user can put right, as it is, for ``DataLoader`` would tell it with a traceback."""

    def __init__(self, dataset: Dataset, collate_fn: Callable[[list[Any]], Any]) -> None:
        self.dataset, self.collate_fn = dataset, collate_fn

    def __getitems__(self, keys: list[tuple[int, int]]) -> Any:
        try:
            return self.collate_fn([self.dataset[key] for key in keys])
        except (ValueError, OSError) as error:
            return error


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let the workers that start here be born with SIGTERM and SIGINT blocked, until they have their own way with them.

    Another thread of this process takes the signals meanwhile, or they wait.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_it_is(batch: Any) -> Any:
    return batch


def _obey_the_main_process_alone(_worker: int) -> None:
    """Let a worker outlive SIGTERM and SIGINT that do not come from the main process.

    Schedulers and terminals signal every process of a run. The main one then stops at the end of its step, saves, and
    ends its workers; had one died before, the step would fail and nothing be saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux: tells who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_when_told_by(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        continue
    os._exit(0)
