"""The data module of texts: descriptions of what is seen and answers about them, without audio or video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict, cast

from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from avcap.data.loader import ClipLoader
from avcap.data.sampler import ClipBatchSampler
from avcap.jsonl import read_json_lines

FIELDS: tuple[Literal["prompt_text", "task", "text"], ...] = ("prompt_text", "task", "text")


class TextRow(TypedDict):
    """One line of a file of texts."""

    prompt_text: str  # stands where the image tokens would stand
    task: str  # which instruction follows
    text: str  # the answer


class TextBatch(TypedDict):
    """A batch of such lines, a list per field."""

    prompt_text: list[str]
    task: list[str]
    text: list[str]


def read_texts(path: Path) -> list[TextRow]:
    """Read JSON lines ``{"prompt_text", "task", "text"}``, such as `avcap dali texts` writes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line lacks a field or has no text in it.
    """
    rows = []
    for number, row in read_json_lines(path):
        if wrong := [name for name in FIELDS if not isinstance(row.get(name), str)]:
            raise ValueError(f"{path}, line {number}: {' and '.join(wrong)} must be a text.")
        rows.append(TextRow(prompt_text=row["prompt_text"], task=row["task"], text=row["text"]))
    return rows


def collate_texts(rows: Sequence[TextRow]) -> TextBatch:
    """Collate rows to a batch."""
    return cast(TextBatch, {name: [row[name] for row in rows] for name in FIELDS})  # its keys are those of a row


class _Texts(Dataset):
    """``(epoch, index)`` -> a row, as :class:`ClipBatchSampler` asks for it."""

    def __init__(self, rows: Sequence[TextRow]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> TextRow:
        return self.rows[key[1]]


class TextDataModule(LightningDataModule):
    """Batches of texts from a file of JSON lines; training resumes exactly, as in :class:`AudioCapsDataModule`.

    Args:
        path: The file, for instance of `avcap dali texts`.
        batch_size: Texts a process takes in a step.
        val: Number of rows for validation, from the end.
        seed: Seed of the order.
    """

    def __init__(self, path: Path, *, batch_size: int = 64, val: int = 1000, seed: int = 0) -> None:
        super().__init__()
        if batch_size < 1 or val < 1:
            raise ValueError(f"batch_size and val must be at least 1, got {batch_size} and {val}.")
        self.path = Path(path)
        self.batch_size = batch_size
        self.val = val
        self.seed = seed
        self._rows: list[TextRow] = []

    def setup(self, stage: str) -> None:
        """Read the file.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, or holds no row besides those for validation.
        """
        if not self.path.is_file():
            raise FileNotFoundError(f"data.path: there is no file {self.path}; make it with `avcap dali texts`.")
        self._rows = read_texts(self.path)
        if len(self._rows) <= self.val:
            raise ValueError(
                f"{self.path} holds {len(self._rows)} texts; data.val takes the last {self.val}, lower it."
            )

    def train_dataloader(self) -> ClipLoader:
        """Return shuffled batches."""
        return self._loader(self._rows[: -self.val], shuffle=True)

    def val_dataloader(self) -> ClipLoader:
        """Return the last rows, in order."""
        return self._loader(self._rows[-self.val :], shuffle=False)

    def _loader(self, rows: Sequence[TextRow], *, shuffle: bool) -> ClipLoader:
        trainer = self.trainer
        rank, world = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        sampler = ClipBatchSampler(
            len(rows), self.batch_size, shuffle=shuffle, seed=self.seed, rank=rank, world_size=world
        )
        return ClipLoader(_Texts(rows), sampler, collate_fn=collate_texts)
