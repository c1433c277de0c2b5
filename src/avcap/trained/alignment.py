"""A checkpoint of an alignment and the clips of its run: for the analysis of its tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import yaml

import avcap.encoders  # noqa: F401 (the classes that a checkpoint names must be imported)
from avcap.data import AudioCapsDataModule, FrameChoice
from avcap.data.collate import collate
from avcap.data.dataset import ClipDataset
from avcap.data.media import even_indices
from avcap.data.provided import require_provided
from avcap.layers.masking import have_both
from avcap.systems import Alignment
from avcap.trained.clips import one_clip, run_folder
from avcap.types import Batch, Tokens


class AlignmentClips(NamedTuple):
    """An alignment, both encoders with their weights, and a split of the shards that it was trained on."""

    model: Alignment
    clips: ClipDataset
    data: AudioCapsDataModule

    @classmethod
    def open(cls, ckpt_path: Path, *, shards: Path | None = None, split: str = "test") -> AlignmentClips:
        """Load the checkpoint on the CPU and find the clips by the config of the run.

        Args:
            ckpt_path: Checkpoint of an alignment; the weights of its frozen tower are read where the config says.
            shards: Folder of the shards; None: the one that the config names.
            split: train, val or test.

        Raises:
            FileNotFoundError: if the checkpoint, its config or the shards are not there.
            ValueError: if the run is of a version whose encoders did not own their front ends, or the clips lack a stream.
        """
        path = run_folder(ckpt_path) / "config.yaml"
        for file in (ckpt_path, path):
            if not file.is_file():
                raise FileNotFoundError(f"There is no {file}; `make demo-dali` makes an alignment.")
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]["init_args"]
        if "target_length" in settings:
            raise ValueError(
                f"{path} is of an earlier version, in which no encoder owned its front end; train it again."
            )
        data = AudioCapsDataModule(shards or Path(settings["shards"]), frames=FrameChoice(**settings["frames"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = Alignment.load_from_checkpoint(ckpt_path, map_location="cpu").eval()
        clips = data.serve(model.inputs).dataset(split)
        require_provided(model.inputs, clips.shards.info, clips.shards.folder, training=True)
        return cls(model, clips, data)

    def of(self, split: str) -> AlignmentClips:
        """Return the same alignment with another split."""
        return self._replace(clips=self.data.dataset(split))

    def batches(self, batch_size: int, *, most: int | None = None) -> Iterator[Batch]:
        """Return the clips of the split in order, or at most ``most`` of them, evenly spaced."""
        total = len(self.clips)
        chosen = even_indices(total, total if most is None else min(most, total))
        for at in range(0, len(chosen), batch_size):
            yield collate([self.clips[i] for i in chosen[at : at + batch_size]])

    def clip(self, name: str | None = None) -> Batch:
        """Return one clip as a batch; the first of the split if none is named."""
        return one_clip(self.clips, name)


@torch.no_grad()
def paired_tokens(model: Alignment, batch: Batch) -> tuple[list[str], Tokens, Tokens]:
    """Return ids, audio tokens ``[B, Na, C]`` and image tokens ``[B, Nv, C]`` of the clips of a batch that have both streams."""
    pair = model.tokens(batch)
    both = have_both(*pair)  # [B]
    ids = [name for name, there in zip(batch["id"], both.tolist(), strict=True) if there]
    audio, image = (Tokens(tokens.x[both], tokens.full_mask()[both], tokens.full_time()[both]) for tokens in pair)
    return ids, audio, image
