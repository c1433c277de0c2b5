"""Visual encoder: the image tower of CLIP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from avcap.encoders.frame_encoder import FrameEncoder
from avcap.layers.time_embedding import TimeEmbeddingName

if TYPE_CHECKING:
    from transformers import CLIPVisionModel, PreTrainedModel

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "projection_dim": 512}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "projection_dim": 768}
CLIP_SIZES: dict[str, dict[str, int]] = {
    "vit_base_patch32": {**_BASE, "patch_size": 32},
    "vit_base_patch16": {**_BASE, "patch_size": 16},
    "vit_large_patch14": {**_LARGE, "patch_size": 14},
    "vit_large_patch14_336": {**_LARGE, "patch_size": 14, "image_size": 336},
}


class CLIPVisual(FrameEncoder):
    """The image tower of CLIP on every frame: one projected token a frame, or the patch tokens of a layer.

    Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021. LAVCap sees
    through the projected features of ViT-L/14, 20 frames x 768; LLaVA-1.5 (DALI) through the second-to-last layer of
    ViT-L/14 at 336 pixels without the class token, 576 x 1024 (``size: vit_large_patch14_336, output: patches, layer: -2``).
    Frames of another size are resized on their device. Tokens are frame-major.

    Args:
        size: Published size: vit_base_patch32, vit_base_patch16, vit_large_patch14 or vit_large_patch14_336.
        output: ``projected`` is the class token through the final norm and the projection to the space shared with text;
            ``patches`` are a layer's patch tokens as they are, without the final norm.
        layer: Layer that ``patches`` come from, counted from the end: -1 is the last. Later layers are not built.
        config: Fields of ``transformers.CLIPVisionConfig`` that override ``size``.
        time_embedding: What tells frames apart: ``none`` (LAVCap), ``learned`` (up to ``max_frames``) or ``sinusoidal``.
        max_frames: Longest clip for a learned time embedding.
        frozen: Keep the tower as it is, in evaluation mode and without gradients.
        pretrained: Folder or hub name of a CLIP model (``openai/clip-vit-large-patch14``), or a file made by ``avcap weights
            part``.

    Raises:
        ValueError: if the layer does not exist.
    """

    backbone: PreTrainedModel

    def __init__(
        self,
        size: Literal[
            "vit_base_patch32", "vit_base_patch16", "vit_large_patch14", "vit_large_patch14_336"
        ] = "vit_large_patch14",
        *,
        output: Literal["projected", "patches"] = "projected",
        layer: int = -1,
        config: dict[str, Any] | None = None,
        time_embedding: TimeEmbeddingName = "none",
        max_frames: int = 32,
        frozen: bool = True,
        pretrained: str | None = None,
    ) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

        fields: dict[str, Any] = {"image_size": 224, "hidden_act": "quick_gelu", **CLIP_SIZES[size]}
        fields = {**fields, "intermediate_size": 4 * fields["hidden_size"], **(config or {})}
        depth = fields["num_hidden_layers"]
        if output == "projected" and layer != -1:
            raise ValueError(f"layer {layer} is for output: patches; projected features come from the last layer, -1.")
        if not -depth <= layer <= -1:
            raise ValueError(f"layer {layer} does not exist; count from -1 (the last) to {-depth} (the first).")
        fields["num_hidden_layers"] = depth + layer + 1
        settings = CLIPVisionConfig(**fields)
        projected = output == "projected"
        super().__init__(
            CLIPVisionModelWithProjection(settings) if projected else without_final_norm(CLIPVisionModel(settings)),
            width=settings.projection_dim if projected else settings.hidden_size,
            image_size=fields["image_size"],
            mean=MEAN,
            std=STD,
            time_embedding=time_embedding,
            max_frames=max_frames,
            frozen=frozen,
        )
        self.projected = projected
        self.pretrained = pretrained

    def image_tokens(self, images: Tensor) -> Tensor:
        """Convert images ``[B * N, 3, S, S]`` to tokens ``[B * N, P, C]``, one or the patches."""
        out = self.backbone(images)
        return out.image_embeds.unsqueeze(1) if self.projected else out.last_hidden_state[:, 1:]

    def load_backbone(self, source: str) -> None:
        """Load the tower from a CLIP model. The text tower, and the layers after ``layer``, are left out.

        Raises:
            FileNotFoundError: if there is no such folder or hub model, or it cannot be reached.
            ValueError: if the weights of the tower are incomplete or of another size.
        """
        from huggingface_hub.errors import HFValidationError

        try:
            model, info = type(self.backbone).from_pretrained(
                source, config=self.backbone.config, output_loading_info=True
            )
        except (OSError, HFValidationError) as error:
            raise FileNotFoundError(
                f"{source} is neither a folder with a CLIP model nor a hub model that can be reached; check pretrained."
            ) from error
        except RuntimeError as error:
            raise ValueError(
                f"{source} does not fit the sizes of this CLIPVisual ({error}); set size to what it is."
            ) from error
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise ValueError(
                f"{source} lacks {len(missing)} weights ({', '.join(missing[:3])}); it is no complete CLIP model."
            )
        state = model.state_dict()
        self.backbone.load_state_dict({name: state[name] for name in self.backbone.state_dict()})


def without_final_norm(tower: CLIPVisionModel) -> CLIPVisionModel:
    """Take the norm that only the class token meets after the last layer out of a tower, in place; return the tower."""
    tower.vision_model.register_module("post_layernorm", nn.Identity())
    return tower
