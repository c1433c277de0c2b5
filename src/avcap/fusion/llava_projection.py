"""The projection of LLaVA: image tokens and audio tokens into the embedding space of its language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from avcap.checkpoints.hugging_face import is_empty
from avcap.checkpoints.llava import PROJECTOR, Format, chosen_format, llava_config, read_llava, require_all
from avcap.checkpoints.loading import load_weights
from avcap.fusion.base import Fusion
from avcap.layers.freeze import Freezable
from avcap.layers.masking import concat_time
from avcap.types import FusionOutput, Tokens

if TYPE_CHECKING:
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector


class LlavaProjection(Fusion, Freezable):
    """LLaVA's two-layer MLP, for the tokens of both streams: image tokens first, then audio tokens (DALI, NeurIPS 2024).

    Audio tokens that are distributed like image tokens may go through the image projector itself (``shared``), as after
    DALI's alignment; its second stage trains a copy of it for the audio. Nothing is pooled or aligned here, so there is
    no loss and no map. A stream that is not there is left out. Without ``model`` the weights are random.

    Args:
        model: Folder or hub name of a LLaVA model in Hugging Face's format; only the projector's weights are read.
        config: A ``LlavaConfig`` (JSON file or mapping), in place of the one of ``model``.
        audio_projector: What audio tokens go through: the image projector (``shared``), or a projector of their own that
            starts as a copy of it (``copy``).
        pretrained_audio: Weights of the audio copy: a file made by ``avcap weights part CKPT fusion.audio_projector OUT``.
        frozen: Keep the image projector as it is.
        train_audio: Train the audio copy.
        dtype: Number format of the image projector; "auto" keeps the checkpoint's, or float32 for random weights. An audio
            copy that is trained is float32.

    Raises:
        ValueError: if neither ``model`` nor ``config`` is given, there is no encoder, tokens have another width than those
            of LLaVA's vision tower, or ``pretrained_audio`` is given without a copy.
        FileNotFoundError: if a named configuration or model is not there.
    """

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        model: str | None = None,
        config: dict[str, Any] | Path | None = None,
        audio_projector: Literal["shared", "copy"] = "shared",
        pretrained_audio: str | None = None,
        frozen: bool = True,
        train_audio: bool = True,
        dtype: Format = "auto",
    ) -> None:
        super().__init__(audio_width, visual_width)
        if pretrained_audio is not None and audio_projector == "shared":
            raise ValueError("fusion.pretrained_audio is for a projector of its own; set fusion.audio_projector: copy.")
        self.config = llava_config(model, config, owner="fusion")
        self.width = self.config.text_config.hidden_size
        self.model = model
        self.pretrained_audio = pretrained_audio
        self.dtype: Format = dtype
        with torch.device("meta" if model is not None else torch.get_default_device()):
            self.image_projector = _projector(self.config).to(chosen_format(dtype))
        self._check_widths(self.image_projector.linear_1.in_features)
        self.audio_projector = _projector(self.config) if audio_projector == "copy" else None
        if self.audio_projector is not None and model is None:
            self.audio_projector.load_state_dict(self.image_projector.state_dict())
        kept_still: list[nn.Module] = [self.image_projector] if frozen else []
        if self.audio_projector is not None and not train_audio:
            kept_still.append(self.audio_projector)
        if kept_still:
            self.freeze(*kept_still)

    @property
    def pretrained(self) -> str | None:
        """What :meth:`load_pretrained` reads from first, None where it reads nothing."""
        return self.model or self.pretrained_audio

    @property
    def always_saved(self) -> tuple[str, ...]:
        """The projectors that only a checkpoint holds."""
        return () if self.model is not None else ("image_projector",)

    def forward(self, audio: Tokens | None, video: Tokens | None) -> FusionOutput:
        """Project and concatenate tokens ``[B, Na, Cv]`` and ``[B, Nv, Cv]``, None where the batch has none.

        Returns:
            Tokens ``[B, Nv + Na, C]`` of the language model's width, those of the image first; masks go with their tokens.

        Raises:
            ValueError: if both streams are None, or the weights are not loaded.
        """
        of_audio = self.image_projector if self.audio_projector is None else self.audio_projector
        streams = ((video, self.image_projector), (audio, of_audio))
        projected = [self._project(tokens, projector) for tokens, projector in streams if tokens is not None]
        if not projected:
            raise ValueError("LlavaProjection got neither audio nor visual tokens; a batch needs one stream at least.")
        return FusionOutput(projected[0] if len(projected) == 1 else concat_time(*projected), {}, {})

    def load_pretrained(self) -> None:
        """Read the image projector from ``model``, then the audio copy, which without a file becomes a copy of it.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if weights are missing or of another size.
        """
        fresh = is_empty(self.image_projector)
        if fresh and self.model is not None:
            self._load_image_projector(self.model)
        if self.audio_projector is None:
            return
        if self.pretrained_audio is not None:
            load_weights(self.audio_projector, self.pretrained_audio, component="fusion.audio_projector")
        elif fresh:
            self.audio_projector.load_state_dict(self.image_projector.state_dict())

    def _load_image_projector(self, model: str) -> None:
        state = read_llava(model, PROJECTOR, owner="fusion")
        own = self.image_projector.state_dict()
        require_all(own.keys() - state.keys(), model)
        wrong = [name for name in own if own[name].shape != state[name].shape]
        if wrong:
            raise ValueError(f"{model} does not fit fusion.config ({', '.join(wrong)}); leave fusion.config out.")
        dtype = chosen_format(self.dtype, state)
        self.image_projector.load_state_dict({name: state[name].to(dtype) for name in own}, assign=True)

    def _project(self, tokens: Tokens, projector: LlavaMultiModalProjector) -> Tokens:
        weight = projector.linear_1.weight
        if weight.is_meta and not tokens.x.is_meta:
            raise ValueError(f"The weights of {self.model} are not loaded; call load_pretrained() first.")
        return tokens._replace(x=projector(tokens.x.to(weight.dtype)))  # [B, N, C]

    def _check_widths(self, wanted: int) -> None:
        given = {"audio": self.audio_width, "visual": self.visual_width}
        present = {stream: width for stream, width in given.items() if width is not None}
        if not present:
            raise ValueError("LlavaProjection has neither an audio nor a visual encoder; add one to the config.")
        for stream, width in present.items():
            if width != wanted:
                raise ValueError(
                    f"LlavaProjection takes tokens of LLaVA's vision width, {wanted}, but the {stream} encoder gives {width}; "
                    f"set the width of the {stream} encoder to {wanted}."
                )


def _projector(config: Any) -> LlavaMultiModalProjector:
    """Build LLaVA's projector with random weights on the default device."""
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

    return LlavaMultiModalProjector(config)
