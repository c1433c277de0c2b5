"""The front-end contract: a waveform in, raw features out, and how these become an encoder's input of fixed length."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE = 16_000


class FrontEnd(ABC):
    """A waveform -> features, one row every ``hop`` seconds; then cut or padded to ``target_length`` rows and normalised.

    A front end holds settings alone; it is no module. Augmentation may come between padding and normalisation, which
    are therefore two methods.

    Args:
        target_length: Rows of the encoder's input: longer features keep their first ones, shorter ones are padded.
        mean: Subtracted from the padded features.
        std: Divided by after that.

    Attributes:
        sample_rate: Samples a second that it reads.
        hop: Seconds between two rows.
        pad_value: What a row beyond the end of the clip holds, before normalisation.
        version: Raised whenever the same settings would give other features.

    Raises:
        ValueError: if ``target_length`` is below 1 or ``std`` not positive.
    """

    sample_rate: int = SAMPLE_RATE
    hop: float = 0.01
    pad_value: float = 0.0
    version: ClassVar[int] = 1

    def __init__(self, target_length: int, mean: float = 0.0, std: float = 1.0) -> None:
        if target_length < 1 or std <= 0:
            raise ValueError(f"target_length must be at least 1 and std positive, got {target_length} and {std}.")
        self.target_length = target_length
        self.mean = mean
        self.std = std

    @abstractmethod
    def features(self, wave: Tensor) -> Tensor:
        """Compute the raw features of one clip: neither padded nor normalised.

        Args:
            wave: ``[S]`` at ``sample_rate``, in [-1, 1].

        Returns:
            ``[T, F]`` float32; ``[T]`` for rows of a single number.

        Raises:
            ValueError: if there is not one sample.
        """

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that determines the raw features besides class and version, fit for JSON."""

    @property
    @abstractmethod
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a row: ``(F,)``, or ``()`` for a single number."""

    @property
    def label(self) -> str:
        """A short readable name, fit for a folder."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    @property
    def fingerprint(self) -> str:
        """Name the raw features: equal for two front ends only if these are equal.

        Length and normalisation have no part in it, since they are applied to the raw features later.
        """
        kind = type(self)
        facts = [kind.__module__, kind.__qualname__, self.version, self.sample_rate, self.settings]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        return f"{self.label}-{digest[:8]}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the encoder's input for one clip, ``(T, F)``."""
        return self.target_length, *self.row_shape

    @property
    def seconds(self) -> float:
        """How much of a clip fits into ``target_length`` rows."""
        return self.target_length * self.hop

    def pad(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Cut or pad raw features ``[T', F]`` to ``[T, F]`` float32, with their mask ``[T]``, True on real rows."""
        real = min(len(features), self.target_length)
        out = features.new_full((self.target_length, *features.shape[1:]), self.pad_value, dtype=torch.float32)
        out[:real] = features[:real]
        return out, torch.arange(self.target_length) < real

    def normalise(self, features: Tensor) -> Tensor:
        """Subtract the mean and divide by the standard deviation."""
        return (features - self.mean) / self.std

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrontEnd) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def __repr__(self) -> str:
        return f"{self.fingerprint} [{self.target_length} rows, mean {self.mean:g}, std {self.std:g}]"

    def _facts(self) -> tuple[str, int, float, float]:
        return self.fingerprint, self.target_length, self.mean, self.std


def as_batch(wave: Tensor, window: int) -> Tensor:
    """Convert ``[S]`` or ``[B, S]`` to ``[B, S]`` float32, padded with zeros to at least one window.

    Raises:
        ValueError: if there is not one sample.
    """
    if wave.ndim not in (1, 2) or wave.shape[-1] == 0:
        raise ValueError(f"A waveform is [samples] or [B, samples] with at least one sample, got {list(wave.shape)}.")
    batch = torch.atleast_2d(wave.float())
    return torch.nn.functional.pad(batch, (0, max(0, window - batch.shape[-1])))
