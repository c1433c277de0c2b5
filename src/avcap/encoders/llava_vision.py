"""Visual encoder: the vision tower of LLaVA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from avcap.checkpoints.hugging_face import is_empty
from avcap.checkpoints.llava import VISION, Attention, Format, chosen_format, llava_config, load_pretrained_part
from avcap.encoders.clip import MEAN, STD, without_final_norm
from avcap.encoders.frame_encoder import FrameEncoder
from avcap.encoders.frames import FrameImages, require_rgb

if TYPE_CHECKING:
    from transformers import CLIPVisionModel


class LlavaVision(FrameEncoder):
    """The vision tower of LLaVA (Liu et al., NeurIPS 2023) on every frame: the patch tokens of one layer.

    LLaVA-1.5 sees through the second-to-last layer of CLIP ViT-L/14 at 336 pixels without the class token, 576 x 1024 a
    frame. Later layers are not built. The projection into the language model is not part of it: that is
    :class:`~avcap.fusion.LlavaProjection`. Without ``model`` the weights are random.

    Args:
        model: Folder or hub name of a LLaVA model in Hugging Face's format; only the tower's weights are read.
        config: A ``LlavaConfig`` (JSON file or mapping), in place of the one of ``model``.
        layer: Layer that the tokens come from: -1 is the last, 0 the embeddings. None: ``vision_feature_layer`` of the
            configuration.
        select: ``default`` leaves the class token out, ``full`` keeps it, first of its frame. None: as the configuration
            says.
        frozen: Keep the tower as it is, in evaluation mode and without gradients.
        dtype: Number format of the weights; "auto" keeps the checkpoint's, or float32 for random ones.
        attention: Attention implementation of transformers; eager is the quickest in bfloat16 on a CPU.

    Raises:
        ValueError: if neither ``model`` nor ``config`` is given, the tower is no CLIP, or the layer does not exist.
        FileNotFoundError: if a named configuration or model is not there.
    """

    backbone: CLIPVisionModel

    def __init__(
        self,
        *,
        model: str | None = None,
        config: dict[str, Any] | Path | None = None,
        layer: int | None = None,
        select: Literal["default", "full"] | None = None,
        frozen: bool = True,
        dtype: Format = "auto",
        attention: Attention = "sdpa",
    ) -> None:
        from transformers import CLIPVisionModel

        whole = llava_config(model, config, owner="visual_encoder")
        settings = whole.vision_config
        if settings.model_type != "clip_vision_model":
            raise ValueError(
                f"visual_encoder: LlavaVision runs CLIP towers, not {settings.model_type}; name a LLaVA-1.5 model."
            )
        settings.num_hidden_layers = _depth(whole.vision_feature_layer if layer is None else layer, settings)
        settings._attn_implementation = attention
        with torch.device("meta" if model is not None else torch.get_default_device()):
            tower = without_final_norm(CLIPVisionModel(settings))
            backbone = tower.to(chosen_format(dtype))  # type: ignore[arg-type]  # its wrapper drops self
        sizes = {"width": settings.hidden_size, "image_size": settings.image_size}
        super().__init__(backbone, **sizes, mean=MEAN, std=STD, frozen=frozen)
        self.normalise = LlavaImages(settings.image_size)
        self.select = select or whole.vision_feature_select_strategy
        self.pretrained = model
        self.dtype: Format = dtype

    def image_tokens(self, images: Tensor) -> Tensor:
        """Convert images ``[B * N, 3, S, S]`` to the layer's tokens ``[B * N, P, C]``, without the final norm."""
        tokens = self.backbone(images.to(self.backbone.dtype)).last_hidden_state  # [B * N, 1 + P, C]
        return tokens if self.select == "full" else tokens[:, 1:]

    def load_backbone(self, source: str) -> None:
        """Read the tower from a LLaVA model; does nothing the second time.

        Raises:
            FileNotFoundError: if there is no such model.
            ValueError: if its tower is incomplete or of another size.
        """
        if not is_empty(self.backbone):
            return
        loaded = load_pretrained_part(self.backbone, source, VISION, owner="visual_encoder", dtype=self.dtype)
        self.backbone = without_final_norm(cast("CLIPVisionModel", loaded)).train(self.training)
        if self._frozen_backbone:
            self.freeze(self.backbone)


class LlavaImages(FrameImages):
    """Frames -> the pixel values of LLaVA-1.5's image processor: short side to ``image_size``, centre crop, CLIP's colours.

    uint8 frames that have the size already give the same values to the bit. Of resized ones less than one value in a hundred
    differs, by one level of 255 (PIL's weights are integers).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, image_size: int) -> None:
        super().__init__(image_size)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Convert frames ``[B, N, 3, H, W]`` in 0..255 to images ``[B * N, 3, S, S]``.

        Raises:
            ValueError: if the frames are not RGB.
        """
        require_rgb(frames)
        images = self._cropped(frames.flatten(0, 1).to(self.mean.dtype))  # [B * N, 3, S, S]
        return (images / 255 - self.mean) / self.std

    def _cropped(self, images: Tensor) -> Tensor:
        """Resize images to a short side of ``image_size``, and crop them to a square."""
        size, (height, width) = self.image_size, images.shape[-2:]
        if min(height, width) != size:
            short = min(height, width)
            rows, columns = (size if side == short else int(size * side / short) for side in (height, width))
            for shape in ((height, columns), (rows, columns)):  # PIL resizes one axis at a time and rounds in between
                images = F.interpolate(images, shape, mode="bicubic", antialias=True, align_corners=False)
                images = images.round().clamp(0, 255)
        top, left = ((side - size) // 2 for side in images.shape[-2:])
        return images[..., top : top + size, left : left + size]


def _depth(layer: int, settings: Any) -> int:
    """Return how many layers to build, so that the last one gives ``hidden_states[layer]`` of the whole tower."""
    depth = settings.num_hidden_layers
    if not isinstance(layer, int) or not -depth - 1 <= layer <= depth:
        raise ValueError(
            f"visual_encoder: vision_feature_layer is {layer}; LlavaVision reads one layer, from {-depth - 1} to {depth}."
        )
    return layer if layer >= 0 else depth + 1 + layer
