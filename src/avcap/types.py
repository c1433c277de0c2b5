"""The few types that every part of avcap shares, and the legend of shape letters.

Letters used in comments and docstrings throughout:

====  =====================================================================
B     batch (clips)
T, F  spectrogram frames (time) and mel bins (frequency)
N     tokens; ``Na`` audio tokens, ``Nv`` visual tokens
C     channels (token width); ``Ca``, ``Cv`` of one stream
L     text tokens
V     vocabulary
H, W  height and width of a video frame
====  =====================================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypedDict, runtime_checkable

import torch
from torch import Tensor, nn


class Batch(TypedDict, total=False):
    """What a data module yields. A stream that no clip of the batch has is left out.

    A mask is ``True`` where the data is real; a clip that lacks one stream has an all-``False`` row. A time is the middle of
    a row or frame in seconds of the clip, NaN where it is not known; it is left out where none is known.
    """

    id: list[str]  # youtube_id + "_" + start time in seconds
    audio: Tensor  # [B, T, F] float32, made by the audio encoder's front end; a waveform is [B, T]
    audio_mask: Tensor  # [B, T] bool
    audio_time: Tensor  # [B, T] float32; padding has times, too
    frames: Tensor  # [B, Nf, 3, H, W] uint8 RGB; the visual encoder normalises them itself
    frames_mask: Tensor  # [B, Nf] bool
    frames_time: Tensor  # [B, Nf] float32
    visual_features: Tensor  # [B, Nf, Cv] float32, made beforehand by a frozen encoder
    visual_features_mask: Tensor  # [B, Nf] bool
    visual_features_time: Tensor  # [B, Nf] float32
    audio_tokens: Tensor  # [B, Na, Ca], of a frozen encoder that ran before; in place of ``audio`` (training)
    audio_tokens_mask: Tensor  # [B, Na] bool
    audio_tokens_time: Tensor  # [B, Na] float32
    frames_tokens: Tensor  # [B, Nv, Cv], the same in place of ``frames``
    frames_tokens_mask: Tensor  # [B, Nv] bool
    frames_tokens_time: Tensor  # [B, Nv] float32
    caption: list[str]  # one target caption a clip (training)
    prompt: list[str | None]  # its instruction, None: the decoder's own; left out where no clip has one (training)
    references: list[list[str]]  # all reference captions of each clip (evaluation)


class Tokens(NamedTuple):
    """A padded set of tokens."""

    x: Tensor  # [B, N, C]
    mask: Tensor | None = None  # [B, N] bool, True where the token is real; None: all are
    time: Tensor | None = (
        None  # [B, N] float32, middle of each in seconds of the clip, NaN: unknown; None: all are unknown
    )

    @classmethod
    def of(cls, tokens: Tensor | Tokens) -> Tokens:
        """Return tokens as they are; a tensor ``[B, N, C]`` becomes tokens that are all real, at times unknown.

        Raises:
            ValueError: if the tensor has not three axes.
        """
        if not isinstance(tokens, Tensor):
            return tokens
        if tokens.ndim != 3:
            raise ValueError(f"tokens must be [batch, tokens, channels]; got a tensor of shape {list(tokens.shape)}.")
        return cls(tokens)

    def full_mask(self) -> Tensor:
        """Return the mask ``[B, N]``, all ``True`` if none was given."""
        if self.mask is not None:
            return self.mask
        return torch.ones(self.x.shape[:2], dtype=torch.bool, device=self.x.device)

    def full_time(self) -> Tensor:
        """Return the times ``[B, N]`` float32, all NaN if none were given."""
        if self.time is not None:
            return self.time
        return torch.full(self.x.shape[:2], torch.nan, dtype=torch.float32, device=self.x.device)


def accept_tensors(
    _module: nn.Module, args: tuple[Any, ...], settings: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Convert tensors ``[B, N, C]`` among the arguments of a module to :class:`Tokens`: a hook before ``forward``.

    Args:
        _module: The module, as hooks are given it.
        args: Its positional arguments.
        settings: Its keyword arguments.
    """

    def tokens(value: Any) -> Any:
        return Tokens.of(value) if isinstance(value, Tensor) else value

    return tuple(map(tokens, args)), {name: tokens(value) for name, value in settings.items()}


class AssignmentMap(NamedTuple):
    """The assignment of visual tokens to audio tokens, with the times of both."""

    plan: Tensor  # [B, Nv, Na], not negative, 0 for padding
    visual_time: Tensor  # [B, Nv] float32, middle of each visual token in seconds, NaN: unknown
    audio_time: Tensor  # [B, Na] float32

    @classmethod
    def of(cls, plan: Tensor, *, visual: Tokens, audio: Tokens) -> AssignmentMap:
        """Put the times of the tokens beside a plan ``[B, Nv, Na]``, which loses its graph."""
        return cls(plan.detach(), visual.full_time(), audio.full_time())

    def is_timed(self) -> bool:
        """Return whether the time of at least one visual and one audio token is known."""
        return bool(self.visual_time.isfinite().any() and self.audio_time.isfinite().any())

    def to(self, device: torch.device | str) -> AssignmentMap:
        """Move to a device."""
        return AssignmentMap(*(tensor.to(device) for tensor in self))


class FusionOutput(NamedTuple):
    """The fused tokens for the decoder, with named losses to minimise and maps to draw."""

    tokens: Tokens  # fused tokens [B, N, C]
    losses: dict[str, Tensor]  # name -> scalar, already multiplied by its own weight
    maps: dict[str, AssignmentMap]  # name -> assignment map [B, Nv, Na]


class TransportPlan(NamedTuple):
    """An entropic transport plan, batched."""

    log_plan: Tensor  # [B, n, m]; exp() sums to 1 over the real tokens, -inf on padding
    value: Tensor  # [B] transport cost <plan, cost>

    @property
    def plan(self) -> Tensor:
        """The plan itself ``[B, n, m]``."""
        return self.log_plan.exp()


class Generation(TypedDict, total=False):
    """Decoding settings; the names and meanings are those of Hugging Face ``generate``."""

    num_beams: int
    max_new_tokens: int
    min_new_tokens: int
    length_penalty: float
    repetition_penalty: float
    no_repeat_ngram_size: int
    do_sample: bool
    temperature: float
    top_p: float
    top_k: int


@runtime_checkable
class Pretrainable(Protocol):
    """A part of a model that can read published weights."""

    @property
    def pretrained(self) -> str | None:
        """Where it reads weights from, None where it reads none."""

    def load_pretrained(self) -> None:
        """Load the weights; do nothing where ``pretrained`` is None."""
