"""Visual features of a media file, for a captioner that was trained on features made beforehand."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from avcap.encoders.base import VisualEncoder
from avcap.encoders.precomputed import PrecomputedVisual


class VideoFeatures:
    """Runs the encoder that made the features of a captioner's shards.

    Args:
        sees: The captioner's visual encoder.

    Attributes:
        frames: Frames of a file that are encoded.
    """

    def __init__(self, sees: PrecomputedVisual) -> None:
        self._maker, self._width = sees.features_from, sees.width
        self.frames = sees.frames

    @cached_property
    def size(self) -> int:
        """Height and width in pixels of the encoder's input; 224 where it is not known."""
        if self._maker is None:
            return 224
        with torch.device("meta"):
            return self._maker().input_shape(1)[-1]

    @cached_property
    def encoder(self) -> VisualEncoder:
        """The encoder, without its weights until :meth:`of` is called.

        Raises:
            ValueError: if nobody says which encoder it is, or its tokens have another width.
        """
        if self._maker is None:
            raise ValueError(
                "this captioner sees through features that were made beforehand, and it is not known by which encoder; name it in "
                "a config (visual_encoder.init_args.features_from) and give that by --config, the checkpoint by --weights."
            )
        encoder = self._maker()
        if encoder.width != self._width:
            raise ValueError(
                f"features_from makes features of {encoder.width} channels, and the captioner was trained on {self._width}."
            )
        return encoder.eval()

    @torch.inference_mode()
    def of(self, frames: Tensor, device: torch.device) -> Tensor:
        """Convert frames ``[N, 3, H, W]`` to features ``[N, C]``, in the precision in which `avcap data features` stores them.

        Raises:
            FileNotFoundError: if the encoder's weights are not there.
            ValueError: if the encoder is not known.
        """
        if not self._loaded:
            self.encoder.load_pretrained()
            self._loaded = True
        tokens = self.encoder.to(device)(frames.unsqueeze(0).to(device)).x  # [1, N, C]
        return tokens[0].half().float().cpu()

    _loaded = False
