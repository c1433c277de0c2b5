"""``avcap dali calibrate``: give the tokens of an aligned audio encoder the spread of image tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from avcap.commands.alignment_clips import AlignmentClips
from avcap.data.collate import collate
from avcap.metrics.token_moments import TokenMoments
from avcap.systems import Alignment
from avcap.types import Batch, Tokens
from avcap.weights import write_part

PART = "audio_encoder"
LAST = "projection"  # the linear layer that makes the tokens


def calibrate(
    ckpt: Path, out: Path, *, clips: int = 1000, batch_size: int = 50, split: str = "train", shards: Path | None = None
) -> None:
    """Write the audio encoder of an alignment, its projection rescaled so that its tokens are spread like image tokens.

    Of many pictures that go with a sound, the tokens that are nearest to all are their mean: alignment makes audio tokens that point
    in the right direction but lie too close to one another. Here every channel gets the mean and the standard
    deviation that it has among the image tokens of the same clips. No caption is read, and nothing is trained.

    Args:
        ckpt: Checkpoint of an alignment.
        out: The safetensors file to write, for `pretrained` of such an audio encoder.
        clips: Measure on so many clips, at even distances.
        batch_size: Clips at once.
        split: train or val.
        shards: Folder of the shards; None: the one that the run was trained on.

    Raises:
        FileNotFoundError: if the checkpoint, its config or the shards are not there.
        ValueError: if the encoder has no projection, or no clip has sound and picture.
    """
    if clips < 1 or batch_size < 1:
        raise ValueError(f"clips and batch_size must be at least 1, got {clips} and {batch_size}.")
    opened = AlignmentClips.open(ckpt, shards=shards, split=split)
    model = opened.model
    if not isinstance(getattr(model.audio_encoder, LAST, None), torch.nn.Linear):
        raise ValueError(f"{type(model.audio_encoder).__name__} has no {LAST} to rescale; calibrate knows DALIAudio.")
    step = max(1, len(opened.clips) // clips)
    chosen = range(0, len(opened.clips), step)[:clips]
    batches = (
        collate([opened.clips[i] for i in chosen[at : at + batch_size]]) for at in range(0, len(chosen), batch_size)
    )
    audio, image = moments(model, batches)
    write_part(ckpt, PART, out, edit=lambda state: rescaled(state, audio, image))
    (_, was), (_, wanted) = audio, image
    print(f"{len(chosen)} clips of {split}: standard deviation of the tokens {was.norm():.3g} -> {wanted.norm():.3g}")
    print(f"wrote {out}")


@torch.no_grad()
def moments(model: Alignment, batches: Iterator[Batch]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Means and standard deviations ``[C]`` of audio tokens and of image tokens, over the clips that have both streams."""
    streams = TokenMoments(model.audio_encoder.width), TokenMoments(model.audio_encoder.width)
    for batch in batches:
        pair = model.tokens(batch)
        both = torch.stack([tokens.full_mask().any(dim=1) for tokens in pair]).all(dim=0)  # [B]
        for stream, tokens in zip(streams, pair, strict=True):
            stream.update(Tokens(tokens.x[both], tokens.full_mask()[both]))
    audio, image = streams
    return audio.compute(), image.compute()


def rescaled(
    state: Mapping[str, Tensor], audio: tuple[Tensor, Tensor], image: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """An encoder's weights with ``x -> mean_i + (x - mean_a) std_i / std_a`` folded into its projection.

    Args:
        state: The weights of the encoder.
        audio: Channel means and standard deviations of its tokens, ``[C]`` each.
        image: The same of the image tokens.
    """
    (mean, spread), (target, wanted) = audio, image
    factor = torch.where(spread > 0, wanted / spread, 1)  # [C]; a channel that never changes only moves
    weight, bias = state[f"{LAST}.weight"].double(), state[f"{LAST}.bias"].double()
    folded = {"weight": weight * factor.unsqueeze(1), "bias": (bias - mean) * factor + target}
    return {**state, **{f"{LAST}.{name}": x.to(state[f"{LAST}.{name}"].dtype) for name, x in folded.items()}}
