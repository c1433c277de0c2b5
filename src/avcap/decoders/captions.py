"""The targets that a decoder learns from a caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class CaptionTargets:
    """Settings of the captions as targets of the loss.

    Args:
        lowercase: Train on lower-case captions.
        max_tokens: Longest caption in tokens, the end token included; longer ones are cut in training.
        label_smoothing: Label smoothing of the cross-entropy.
    """

    lowercase: bool = False
    max_tokens: int = 64
    label_smoothing: float = 0.0
    _fewest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if a setting is out of range.
        """
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(
                f"decoder.captions.label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1."
            )
        if self.max_tokens < self._fewest:
            raise ValueError(f"decoder.captions.max_tokens is {self.max_tokens}; it must be at least {self._fewest}.")
