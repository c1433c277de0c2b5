"""Base of the encoders that run an image model on every frame."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avcap.checkpoints.loading import is_component, load_weights
from avcap.encoders.base import VisualEncoder
from avcap.encoders.frames import FrameImages, FrameNormaliser, per_token
from avcap.layers.freeze import Freezable
from avcap.layers.time_embedding import TIME_EMBEDDINGS, TimeEmbeddingName
from avcap.types import Tokens


class FrameEncoder(Freezable, VisualEncoder):
    """Normalised frames through a backbone, one by one, then a time embedding; a subclass makes tokens of its images.

    Args:
        mean: Mean of R, G, B that it was trained with, for values in 0..1.
        std: Standard deviation of R, G, B that it was trained with.
        frozen: Keep the backbone as it is, in evaluation mode and without gradients; a time embedding remains trainable.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        width: int,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        time_embedding: TimeEmbeddingName = "none",
        max_frames: int = 32,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = width
        self.normalise: FrameImages = FrameNormaliser(image_size, mean, std)
        self.time = TIME_EMBEDDINGS[time_embedding](width, max_frames)
        self._frozen_backbone = frozen
        if frozen:
            self.freeze(self.backbone)

    @abstractmethod
    def image_tokens(self, images: Tensor) -> Tensor:
        """Convert normalised images ``[B * N, 3, S, S]`` to tokens ``[B * N, P, C]``, P for each image."""

    def input_shape(self, frames: int) -> tuple[int, ...]:
        """Return the shape of the frames ``(N, 3, H, W)``; see :meth:`Encoder.input_shape`."""
        return frames, 3, self.normalise.image_size, self.normalise.image_size

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode frames ``[B, N, 3, H, W]``, values 0..255 (uint8 or float); see :meth:`Encoder.forward`.

        Returns:
            Tokens ``[B, N * P, C]`` with the P tokens of every frame, those of frame 0 first; masked where their frame is, at
            its time.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen_backbone):
            tokens = self.image_tokens(self.normalise(x))  # [B * N, P, C]
        tokens = self.time(tokens.unflatten(0, (len(x), -1)))  # [B, N, P, C]
        P = tokens.shape[2]
        return Tokens(tokens.flatten(1, 2), per_token(mask, P), per_token(time, P))

    def load_pretrained(self) -> None:
        """Load what ``pretrained`` names; see :meth:`Encoder.load_pretrained`.

        A file made by ``avcap weights part`` holds the whole encoder, anything else the backbone alone.
        """
        if self.pretrained is None:
            return
        if is_component(self.pretrained):
            load_weights(self, self.pretrained, component=type(self).__name__)
        else:
            self.load_backbone(self.pretrained)

    def load_backbone(self, source: str) -> None:
        """Load the backbone's weights from where such models are published; see :meth:`load_pretrained`."""
        super().load_pretrained()
