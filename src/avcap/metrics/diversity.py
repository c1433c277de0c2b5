"""Two early warnings of a decoder that says the same about every clip: distinct captions, and distinct words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from avcap.metrics.tokenise import PlainTokenizer
from avcap.metrics.wire import pack, unpack


class _Texts(Metric):
    """Keeps captions as bytes, which torchmetrics gathers over processes by itself."""

    full_state_update = False
    higher_is_better = True
    texts: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("texts", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Sequence[str]) -> None:
        """Adds captions.

        Args:
            predictions: Captions as written.
        """
        self.texts.append(pack(PlainTokenizer().split(predictions), device=self.device))

    def sync(self, *args: object, **kwargs: object) -> None:
        """Gathers over processes; a process that saw no clip takes part with an empty text of the right type."""
        if not self.texts:
            self.texts.append(pack([], device=self.device))
        super().sync(*args, **kwargs)


class UniqueRatio(_Texts):
    """The share of captions that differ: 1 when all do. Clips are not told apart, so padding copies count as clips."""

    def compute(self) -> Tensor:
        """Counts.

        Returns:
            Scalar between 0 and 1; 0 where there is no caption.
        """
        captions = unpack(self.texts)
        return torch.tensor(len(set(captions)) / max(len(captions), 1))


class Vocabulary(_Texts):
    """The number of distinct words in all captions."""

    def compute(self) -> Tensor:
        """Counts.

        Returns:
            Scalar, whole.
        """
        return torch.tensor(float(len({word for caption in unpack(self.texts) for word in caption.split()})))
