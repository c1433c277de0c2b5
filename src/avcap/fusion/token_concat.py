"""Concatenation of all tokens, then layers that both streams share (AVCap)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcap.checkpoints.loading import load_part
from avcap.fusion.base import Fusion
from avcap.layers.attention_mask import attention_mask
from avcap.layers.cross_attention import HEAD_WIDTH
from avcap.layers.freeze import Freezable
from avcap.layers.joint import AUDIO, JOINT, VIDEO, JointLayers
from avcap.layers.masking import concat_time, zero_padding
from avcap.layers.vit import init_vit
from avcap.types import FusionOutput, Tokens


class TokenConcat(Fusion, Freezable):
    """All audio tokens, then all visual tokens, through joint transformer blocks: AVCap, with the joint layers of CAV-MAE.

    A clip with both streams goes through the joint norms, a clip with one stream through that stream's own, whatever
    else is in the batch; an encoder set to null makes it audio only or video only. Tokens are neither pooled nor aligned,
    so there is no loss and no map. AVCap with L layers for each stream has ``joint_depth`` 12 - L.

    Args:
        width: Channels of the fused tokens; None takes the audio width (without audio the visual one). A stream of another
            width goes through a linear layer first.
        joint_depth: Joint blocks; 0 with ``final_norm: false`` is plain concatenation.
        heads: Attention heads; None: one for every 64 channels (12 in the official model).
        final_norm: The norm at the end, there in the official model at every depth.
        mlp_ratio: Hidden channels of the MLPs, as a multiple of ``width``.
        drop_path: Stochastic depth of the joint blocks.
        frozen: Keep the joint layers as they are; a linear layer before them remains trainable.
        pretrained: File made by ``avcap weights import`` from a CAV-MAE or AVCap checkpoint; its part ``joint.`` is read.

    Raises:
        ValueError: if there is no encoder at all, or ``width`` is no multiple of ``heads``.
    """

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        width: int | None = None,
        joint_depth: int = 1,
        heads: int | None = None,
        final_norm: bool = True,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        frozen: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(audio_width, visual_width)
        self.width = self._choose_width(width)
        if joint_depth < 0:
            raise ValueError(f"joint_depth is {joint_depth}; choose 0 or more blocks.")
        self.pretrained = pretrained
        self.audio_projection = self._projection(audio_width)
        self.visual_projection = self._projection(visual_width)
        self.joint = JointLayers(
            self.width,
            depth=joint_depth,
            heads=max(1, self.width // HEAD_WIDTH) if heads is None else heads,
            mlp_ratio=mlp_ratio,
            drop_path=drop_path,
            final_norm=final_norm,
        )
        init_vit(self)
        if frozen:
            self.freeze(self.joint)

    def forward(self, audio: Tokens | None, video: Tokens | None) -> FusionOutput:
        """Concatenate and transform tokens ``[B, Na, Ca]`` and ``[B, Nv, Cv]``, None where the batch has none.

        Returns:
            Tokens ``[B, Na + Nv, C]``, audio first; padded ones stay masked, and change nothing.

        Raises:
            ValueError: if both streams are None, or a width is not the one declared.
        """
        audio = self._project("audio", audio, self.audio_width, self.audio_projection)
        video = self._project("visual", video, self.visual_width, self.visual_projection)
        tokens, kind = self._joined(audio, video)  # [B, Na + Nv, C]
        joined = tokens._replace(x=self.joint(tokens.x, kind, attention_mask(tokens.mask)))
        return FusionOutput(joined, {}, {})

    def load_pretrained(self) -> None:
        """Load the joint layers of the file that ``pretrained`` names; do nothing if it is None.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if it does not hold exactly the weights of the joint layers.
        """
        if self.pretrained is not None:
            load_part(self.joint, self.pretrained, part="joint", component=type(self).__name__, depth="joint_depth")

    def _choose_width(self, width: int | None) -> int:
        present = [w for w in (self.audio_width, self.visual_width) if w is not None]
        if not present:
            raise ValueError("TokenConcat has neither an audio nor a visual encoder; add one to the config.")
        return present[0] if width is None else width

    def _projection(self, stream_width: int | None) -> nn.Module:
        return nn.Identity() if stream_width in (None, self.width) else nn.Linear(stream_width, self.width)

    def _project(self, stream: str, tokens: Tokens | None, width: int | None, projection: nn.Module) -> Tokens | None:
        """Return the tokens at the fused width, zero where they are padded."""
        if tokens is None:
            return None
        if tokens.x.shape[2] != width:
            raise ValueError(
                f"TokenConcat was built for {stream} tokens of width {width}, got {list(tokens.x.shape)}; set the width to "
                f"that of the {stream} encoder."
            )
        return zero_padding(tokens._replace(x=projection(zero_padding(tokens).x)))

    def _joined(self, audio: Tokens | None, video: Tokens | None) -> tuple[Tokens, int | Tensor]:
        """Audio tokens, then visual ones, of the streams that are there, and the norms that they go through."""
        if audio is not None and video is not None:
            return concat_time(audio, video), self._kind(audio, video)
        present, alone = (video, VIDEO) if audio is None else (audio, AUDIO)
        if present is None:
            raise ValueError("TokenConcat got neither audio nor visual tokens; a batch needs one stream at least.")
        return present, self._spread(alone, present)

    def _kind(self, audio: Tokens, video: Tokens) -> int | Tensor:
        """Return which norms the clips use: one number if all are alike in evaluation, else one per clip ``[B]``."""
        if audio.mask is None and video.mask is None and 0 not in (audio.x.shape[1], video.x.shape[1]):
            return self._spread(JOINT, audio)
        has_audio, has_video = audio.full_mask().any(dim=1), video.full_mask().any(dim=1)  # [B]
        kind = torch.where(has_audio == has_video, JOINT, torch.where(has_audio, AUDIO, VIDEO))
        if not self.training and not kind.is_meta and not bool(kind.any()):
            return JOINT
        return kind

    def _spread(self, kind: int, tokens: Tokens) -> int | Tensor:
        """Return one number per clip in training, so that the norms of the other kinds get a (zero) gradient too."""
        if not self.training:
            return kind
        return torch.full(tokens.x.shape[:1], kind, device=tokens.x.device)
