"""Visual encoder: any image backbone of timm, applied to every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import Tensor, nn

from avcap.checkpoints.reading import read_state
from avcap.encoders.frame_encoder import FrameEncoder
from avcap.layers.time_embedding import TimeEmbeddingName

if TYPE_CHECKING:

    class TimmModel(nn.Module):
        """An image model of timm, with what all of them have."""

        pretrained_cfg: dict[str, Any]
        num_features: int

        def forward_features(self, x: Tensor) -> Tensor:
            """Images ``[B, 3, S, S]`` -> tokens ``[B, P, C]`` or a feature map."""


PUBLISHED = "timm"  # `pretrained: timm` means the weights that timm publishes for the model


class TimmVisual(FrameEncoder):
    """Any timm image model run on every frame: one token a frame, or its patch tokens.

    A vision transformer gives its normalised tokens, a convolutional network its last feature map, one token a cell.
    Frames of another size than the model's are resized on their device. Tokens are frame-major: those of frame 0 first.

    For training from scratch on a CPU, small images and one token a frame (``pooling: mean``) are what makes it quick: see
    docs/weights.md for measured rates.

    Args:
        model: Name in timm, as ``timm.list_models()`` gives it.
        image_size: Side of the images; None takes the model's own.
        pooling: ``mean`` of a frame's patch tokens, its ``cls`` token (transformers that have one), or ``none``: all patch
            tokens of all frames.
        model_args: More arguments of the model (``{patch_size: 8, depth: 4, embed_dim: 192, num_heads: 3}``).
        time_embedding: What tells frames apart: ``none``, ``learned`` (up to ``max_frames``) or ``sinusoidal``.
        max_frames: Longest clip for a learned time embedding.
        fused_attention: Use PyTorch's fused attention in a transformer. False is 1.5 times as fast in bfloat16 on a CPU,
            slower and larger on a GPU.
        frozen: Keep the backbone as it is, in evaluation mode and without gradients; a time embedding remains trainable.
        pretrained: File with the model's weights (.safetensors, .pth or .bin), ``timm`` for those that timm publishes, or a
            file made by ``avcap weights part``.

    Raises:
        ValueError: if the model is unknown, or has no class token and ``pooling`` is ``cls``.
    """

    backbone: TimmModel

    def __init__(
        self,
        model: str = "vit_tiny_patch16_224",
        *,
        image_size: int | None = None,
        pooling: Literal["cls", "mean", "none"] = "mean",
        model_args: dict[str, Any] | None = None,
        time_embedding: TimeEmbeddingName = "none",
        max_frames: int = 32,
        fused_attention: bool = True,
        frozen: bool = False,
        pretrained: str | None = None,
    ) -> None:
        backbone = _create(model, image_size, model_args or {})
        layers: Iterable[Any] = () if fused_attention else backbone.modules()
        for layer in layers:
            if hasattr(layer, "fused_attn"):
                layer.fused_attn = False
        settings = backbone.pretrained_cfg
        super().__init__(
            backbone,
            width=backbone.num_features,
            image_size=image_size or settings["input_size"][-1],
            mean=settings["mean"],
            std=settings["std"],
            time_embedding=time_embedding,
            max_frames=max_frames,
            frozen=frozen,
        )
        self.model = model
        self.pretrained = pretrained
        self.prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        if pooling == "cls" and not self.prefix:
            raise ValueError(f"{model} has no class token; set pooling: mean or none.")
        self.pooling = pooling

    def image_tokens(self, images: Tensor) -> Tensor:
        """Convert images ``[B * N, 3, S, S]`` to one token ``[B * N, 1, C]``, or all patch tokens ``[B * N, P, C]``."""
        tokens = self._as_tokens(self.backbone.forward_features(images))  # [B * N, prefix + P, C]
        return POOLINGS[self.pooling](tokens, self.prefix)

    def load_backbone(self, source: str) -> None:
        """Load the backbone's weights from a file or from timm. The classifier's are left out.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if it does not hold exactly the weights of the backbone.
        """
        if source == PUBLISHED:
            from timm.models import load_pretrained

            load_pretrained(self.backbone, num_classes=0)
            return
        _load_file(self.backbone, Path(source), model=self.model)

    def _as_tokens(self, features: Tensor) -> Tensor:
        """Convert a feature map (channels first or last) or tokens to tokens ``[B, P, C]``."""
        if features.ndim == 3:
            return features
        if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC":
            return features.flatten(1, 2)
        return features.flatten(2).transpose(1, 2)


# [B, prefix + P, C], prefix -> [B, 1 or P, C]
POOLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "cls": lambda tokens, _: tokens[:, :1],
    "mean": lambda tokens, prefix: tokens[:, prefix:].mean(dim=1, keepdim=True),
    "none": lambda tokens, prefix: tokens[:, prefix:],
}


def _create(model: str, image_size: int | None, model_args: dict[str, Any]) -> TimmModel:
    """Build the backbone with random weights and no classifier; pass the image size only to models that need it."""
    import timm

    if not timm.is_model(model):
        near = ", ".join(timm.list_models(f"*{model.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"timm has no model {model!r}; close names: {near}.")
    settings = timm.get_pretrained_cfg(model)
    if image_size is not None and settings is not None and settings.fixed_input_size:
        model_args = {"img_size": image_size, **model_args}
    return cast("TimmModel", timm.create_model(model, pretrained=False, num_classes=0, **model_args))


def _load_file(backbone: TimmModel, path: Path, *, model: str) -> None:
    """Load a local file strictly; only the classifier's keys may be left over."""
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no weights file {path}; download it, or set pretrained: {PUBLISHED} to let timm do so."
        )
    state = read_state(path)
    head = backbone.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ((head,) if isinstance(head, str) else head))
    state = {key: value for key, value in state.items() if not key.startswith(heads)}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {model}: {error}") from error
