"""``avcap dali calibrate``: give the tokens of an aligned audio encoder the spread of image tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from avcap.systems import Alignment
    from avcap.types import Batch

PART = "audio_encoder"
LAST = "projection"  # the linear layer that makes the tokens

Spread = Literal["covariance", "channels"]


def calibrate(
    ckpt: Path,
    out: Path,
    *,
    spread: Spread = "covariance",
    gain: float = 1.0,
    clips: int = 1000,
    batch_size: int = 50,
    split: str = "train",
    shards: Path | None = None,
) -> None:
    """Write the audio encoder of an alignment, its projection rescaled so that its tokens are spread like image tokens.

    Many images fit one sound, and the token nearest to all of them is their mean. So alignment makes audio tokens that point
    in the right direction but lie too close together. Here all audio tokens together get the mean and the covariance of all image
    tokens of the same clips, by the optimal transport between normal distributions, a linear map. No caption is read, and
    nothing is trained.

    Args:
        ckpt: Checkpoint of an alignment.
        out: The safetensors file to write, for `pretrained` of such an audio encoder.
        spread: Match the whole covariance, or the variance of each channel alone.
        gain: Spread of the audio tokens around their mean, as a multiple of that of the image tokens.
        clips: Number of clips to measure on, evenly spaced.
        batch_size: Clips at once.
        split: train or val.
        shards: Folder of the shards; None: the one that the run was trained on.

    Raises:
        FileNotFoundError: if the checkpoint, its config or the shards are not there.
        ValueError: if the encoder has no projection, or no clip has both streams.
    """
    from avcap.trained.alignment import AlignmentClips
    from avcap.weights import write_part

    if clips < 1 or batch_size < 1:
        raise ValueError(f"clips and batch_size must be at least 1, got {clips} and {batch_size}.")
    if not gain > 0:
        raise ValueError(f"gain is {gain}, it must be above 0.")
    opened = AlignmentClips.open(ckpt, shards=shards, split=split)
    model = opened.model
    if not isinstance(getattr(model.audio_encoder, LAST, None), torch.nn.Linear):
        raise ValueError(f"{type(model.audio_encoder).__name__} has no {LAST} to rescale; calibrate knows DALIAudio.")
    audio, image = moments(model, opened.batches(batch_size, most=clips))
    write_part(ckpt, PART, out, edit=lambda state: rescaled(state, audio, image, spread, gain))
    was, wanted = (covariance.trace() for _, covariance in (audio, image))
    measured = min(clips, len(opened.clips))
    print(f"{measured} clips of {split}: variance of the audio tokens {was:.4g}, of the image tokens {wanted:.4g}")
    print(f"wrote {out}")


def moments(model: Alignment, batches: Iterator[Batch]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Compute mean ``[C]`` and covariance ``[C, C]`` of audio tokens and of image tokens, over the clips that have both streams."""
    from avcap.metrics.token_moments import TokenMoments
    from avcap.trained.alignment import paired_tokens

    heard, seen = TokenMoments(model.audio_encoder.width), TokenMoments(model.audio_encoder.width)
    for batch in batches:
        _, audio, image = paired_tokens(model, batch)
        heard.update(audio)
        seen.update(image)
    return heard.compute(), seen.compute()


def rescaled(
    state: Mapping[str, Tensor],
    audio: tuple[Tensor, Tensor],
    image: tuple[Tensor, Tensor],
    spread: Spread = "covariance",
    gain: float = 1.0,
) -> dict[str, Tensor]:
    """Fold ``x -> mean_i + gain A (x - mean_a)`` into the projection of an encoder's weights; see :func:`gaussian_map`.

    ``audio`` and ``image`` are mean and covariance of the tokens.
    """
    from avcap.transport import gaussian_map

    (mean, covariance), (target, wanted) = audio, image
    if spread == "channels":
        covariance, wanted = (matrix.diagonal().diag() for matrix in (covariance, wanted))
    matrix = gain * gaussian_map(covariance, wanted)  # [C, C]
    weight, bias = state[f"{LAST}.weight"], state[f"{LAST}.bias"]
    folded = {"weight": matrix @ weight.double(), "bias": matrix @ (bias.double() - mean) + target}
    return {**state, **{f"{LAST}.{name}": x.to(weight.dtype) for name, x in folded.items()}}
