"""Visual encoder: features made beforehand."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from avcap.encoders.base import VisualEncoder
from avcap.layers.time_embedding import TIME_EMBEDDINGS, TimeEmbeddingName
from avcap.types import Tokens


class PrecomputedVisual(VisualEncoder):
    """Visual features made beforehand by a frozen encoder, passed on as tokens (LAVCap: CLIP ViT-L/14, 20 x 768).

    Args:
        width: Channels of the features.
        time_embedding: What tells frames apart: ``none`` (LAVCap), ``learned`` (up to ``max_frames``) or ``sinusoidal``.
        max_frames: Longest clip for a learned time embedding.
        features_from: The frozen encoder that made them, as it was given to `avcap data features`; a media file's features are
            made by it. It is no part of this module, and is built when it is needed. None: unknown.
        frames: Frames of a media file that it is given.
    """

    input = "visual_features"

    def __init__(
        self,
        width: int = 768,
        *,
        time_embedding: TimeEmbeddingName = "none",
        max_frames: int = 32,
        features_from: Callable[[], VisualEncoder] | None = None,
        frames: int = 20,
    ) -> None:
        super().__init__()
        self.width = width
        self.features_from = features_from
        self.frames = frames
        self.time = TIME_EMBEDDINGS[time_embedding](width, max_frames)

    def input_shape(self, frames: int) -> tuple[int, ...]:
        """Return the shape of the features ``(N, C)``; see :meth:`Encoder.input_shape`."""
        return frames, self.width

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Return features ``[B, N, C]``, mask ``[B, N]`` (True: a real frame) and times ``[B, N]`` as tokens ``[B, N, C]``.

        Raises:
            ValueError: if the features have another width.
        """
        if x.shape[-1] != self.width:
            raise ValueError(
                f"the visual features have {x.shape[-1]} channels and the encoder {self.width}; set visual_encoder.width: {x.shape[-1]}."
            )
        return Tokens(self.time(x.unsqueeze(2)).squeeze(2), mask, time)
