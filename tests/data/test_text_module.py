"""Batches of texts: what is read, in which order, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from avcap.data import TextDataModule
from avcap.scenes.texts import texts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Thirty texts."""
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in texts(30)))
    return path


def _module(path: Path, **settings: int) -> TextDataModule:
    module = TextDataModule(path, **{"batch_size": 4, "val": 10, **settings})
    module.setup("fit")
    return module


def _pairs(batches: object) -> list[tuple[str, ...]]:
    return [row for b in batches for row in zip(b["prompt_text"], b["task"], b["text"], strict=True)]


def test_every_text_comes_once_and_the_last_are_for_validation(path: Path) -> None:
    rows = [tuple(json.loads(line).values()) for line in path.read_text().splitlines()]
    module = _module(path)
    assert Counter(_pairs(module.train_dataloader())) == Counter(rows[:20])
    assert _pairs(module.val_dataloader()) == rows[20:]
    assert _pairs(module.train_dataloader()) != rows[:20]
    assert _pairs(module.train_dataloader()) != _pairs(_module(path, seed=1).train_dataloader())


def test_training_goes_on_where_it_stopped(path: Path) -> None:
    whole = list(_module(path).train_dataloader())
    stopped = _module(path).train_dataloader()
    read = iter(stopped)
    next(read), next(read)
    again = _module(path).train_dataloader()
    again.load_state_dict(stopped.state_dict())
    assert list(again) == whole[2:]


def test_what_is_wrong_is_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.jsonl; make it with `avcap dali texts`"):
        _module(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"texts\.jsonl holds 30 texts; data\.val takes the last 30, lower it"):
        _module(path, val=30)
    with pytest.raises(ValueError, match="batch_size and val must be at least 1, got 4 and 0"):
        _module(path, val=0)
    path.write_text('{"prompt_text": "a dog", "task": 3}\n')
    with pytest.raises(ValueError, match=r"texts\.jsonl, line 1: task and text must be a text"):
        _module(path)
