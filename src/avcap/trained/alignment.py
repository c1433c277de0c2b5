"""A checkpoint of an alignment and the clips of its run: for the analysis of its tokens."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from avcap.checkpoints.build import build
from avcap.checkpoints.carried_files import unpack_files
from avcap.checkpoints.places import placed, roots_of
from avcap.checkpoints.reading import SETTINGS, STATE, read_checkpoint
from avcap.checkpoints.state import require_current
from avcap.data import AudioCapsDataModule, FrameChoice
from avcap.data.collate import collate
from avcap.data.dataset import ClipDataset
from avcap.data.provided import require_provided
from avcap.encoders.base import AudioEncoder, VisualEncoder
from avcap.layers.masking import have_both
from avcap.losses import AlignmentObjective
from avcap.media import even_indices
from avcap.named import named
from avcap.systems import Alignment
from avcap.trained.clips import data_settings, one_clip, run_folder, shards_of
from avcap.types import Batch, Tokens


class AlignmentClips(NamedTuple):
    """An alignment, both encoders with their weights, and a split of the shards that it was trained on."""

    model: Alignment
    clips: ClipDataset
    data: AudioCapsDataModule

    @classmethod
    def open(cls, ckpt_path: str | Path, *, shards: str | Path | None = None, split: str = "test") -> AlignmentClips:
        """Load the checkpoint on the CPU and find the clips by the config of the run.

        Args:
            ckpt_path: Checkpoint of an alignment; the weights of its frozen tower are read where the config says.
            shards: Folder of the shards; None: the one that the config names.
            split: train, val or test.

        Raises:
            FileNotFoundError: if the checkpoint, its config or the shards are not there.
            ValueError: if the run is of a version whose encoders did not own their front ends, or the clips lack a stream.
        """
        model = load_alignment(Path(ckpt_path))
        config = run_folder(Path(ckpt_path)) / "config.yaml"
        settings = data_settings(config)
        if "target_length" in settings:
            raise ValueError(
                f"{config} is of an earlier version, in which no encoder owned its front end; train it again."
            )
        folder = Path(shards or shards_of(config))
        try:
            frames = FrameChoice(**(settings.get("frames") or {}))
        except TypeError as error:
            raise ValueError(
                f"{config} has other settings at data.init_args.frames ({error}); train it again."
            ) from error
        data = AudioCapsDataModule(folder, frames=frames)
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


def load_alignment(path: Path) -> Alignment:
    """Rebuild an alignment from its checkpoint, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file, or the weights of its frozen tower are gone.
        ValueError: if the file is no checkpoint of an alignment.
    """
    content = read_checkpoint(path)
    require_current(content, path)
    with named(path):
        folder = unpack_files(content)
    settings = placed(content[SETTINGS], roots_of(path))
    if not set(Alignment.parts) <= settings.keys():
        raise ValueError(f"{path} is of {settings.get('_class_path', 'another system')}, not of an alignment.")
    kinds = (AudioEncoder, VisualEncoder, AlignmentObjective)
    with named(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = (build(settings[name], kind=kind) for name, kind in zip(Alignment.parts, kinds, strict=True))
        model = Alignment(*parts)
        model.held = frozenset(content[STATE])
        model.configure_model()
        model.load_state_dict(content[STATE])
    weakref.finalize(model, folder.cleanup)  # the folder goes when the model goes
    return model.eval()


@torch.no_grad()
def paired_tokens(model: Alignment, batch: Batch) -> tuple[list[str], Tokens, Tokens]:
    """Return ids, audio tokens ``[B, Na, C]`` and image tokens ``[B, Nv, C]`` of the clips of a batch that have both streams."""
    pair = model.tokens(batch)
    both = have_both(*pair)  # [B]
    ids = [name for name, there in zip(batch["id"], both.tolist(), strict=True) if there]
    audio, image = (Tokens(tokens.x[both], tokens.full_mask()[both], tokens.full_time()[both]) for tokens in pair)
    return ids, audio, image
