"""DALI's audio branch: CAV-MAE's path of sound, projected to the width of image tokens."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from avcap.checkpoints.loading import load_part, parts_of
from avcap.encoders.base import AudioEncoder
from avcap.encoders.cav_mae_audio import CAVMAEAudio
from avcap.encoders.cav_mae_stream import Positions
from avcap.layers.attention_mask import attention_mask
from avcap.layers.freeze import Freezable
from avcap.layers.joint import SingleStreamLayers, single_stream_name
from avcap.layers.lora import LoRA, add_lora
from avcap.layers.vit import init_vit
from avcap.types import Tokens

logger = logging.getLogger(__name__)


class DALIAudio(Freezable, AudioEncoder):
    """The audio blocks of CAV-MAE, its joint layers as sound alone passes them, and a linear layer: 512 tokens for 10 s.

    Malard et al., "An eye for an ear", NeurIPS 2024: alignment trains all of it, so that the tokens of a clip are
    distributed like those of its image (CLIP ViT-L/14: 1024 channels). DALI normalises the fbank by ``(x + 5.081) / 4.4849``.
    Of the joint layers the norms of sound alone are made: the others would never be used.

    Args:
        width: Channels of the blocks.
        depth: Audio blocks.
        joint_depth: Joint blocks.
        heads: Attention heads.
        output_width: Channels of the tokens: those of the image tokens.
        mels: Mel bins of the fbank.
        target_length: Frames of the longest fbank (10 ms each), a multiple of ``patch``.
        patch: Side of a patch, in frames and in bins.
        positions: ``learned``, from a start of sines and cosines on the grid, as DALI's are, or ``fixed`` there.
        mask_padding: False counts padding frames of a clip as sound, as the published results do. True keeps patches
            that lie in the padding out of the attention, and masks their tokens.
        mlp_ratio: Hidden channels of the MLPs, as a multiple of ``width``.
        drop_path: Stochastic depth of the last audio block and of the joint ones; it grows linearly from zero at the first.
        frozen: Keep all weights as they are; nothing is kept for a backward pass.
        lora: Low-rank adapters. They and the projection are trained then: everything else counts as frozen.
        pretrained: File made by ``avcap weights import`` from a DALI checkpoint, or by ``avcap weights part`` from a run; or
            one imported from a CAV-MAE or AVCap checkpoint, where alignment starts: it has no projection.

    Raises:
        ValueError: if the sizes do not fit each other.
    """

    def __init__(
        self,
        width: int = 768,
        *,
        depth: int = 11,
        joint_depth: int = 1,
        heads: int = 12,
        output_width: int = 1024,
        mels: int = 128,
        target_length: int = 1024,
        patch: int = 16,
        positions: Positions = "learned",
        mask_padding: bool = False,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        frozen: bool = False,
        lora: LoRA | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if joint_depth < 0:
            raise ValueError(f"joint_depth is {joint_depth}; choose 0 or more blocks.")
        blocks = {"heads": heads, "mlp_ratio": mlp_ratio, "drop_path": drop_path}
        grid = {"mels": mels, "target_length": target_length, "patch": patch, "positions": positions}
        self.stream = CAVMAEAudio(width, depth=depth, mask_padding=mask_padding, **blocks, **grid)
        self.joint = SingleStreamLayers(width, depth=joint_depth, **blocks)
        self.projection = nn.Linear(width, output_width)
        init_vit(self.joint)
        init_vit(self.projection)
        self.width = output_width
        self.pretrained = pretrained
        self._frozen_projection = frozen
        self._no_grad = frozen and lora is None
        if lora is not None:
            add_lora(self, lora)  # peft leaves nothing but the adapters trainable
            self.projection.requires_grad_(True)
        if frozen:
            self.freeze()
        elif lora is not None:
            self.freeze(self.stream, self.joint)

    @property
    def always_saved(self) -> tuple[str, ...]:
        """A checkpoint of a run that trains any of it holds all of it, to be handed on as one file."""
        return () if self._no_grad else ("stream", "joint", "projection")

    def input_shape(self, frames: int) -> tuple[int, ...]:
        """fbank ``(T, F)``; see :meth:`Encoder.input_shape`."""
        return self.stream.input_shape(frames)

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode a spectrogram to tokens like those of an image.

        Args:
            x: fbank ``[B, T, F]``, as :meth:`CAVMAEAudio.forward` takes it.
            mask: ``[B, T]`` bool, True where a frame is real. A row without any is a clip without sound.
            time: ``[B, T]`` float32, middle of each frame in seconds.

        Returns:
            Tokens ``[B, F/patch * T/patch, output_width]``, time fastest; their mask is None where
            ``mask`` is, their time is None where ``time`` is.

        Raises:
            ValueError: if the spectrogram is too long, too short, or has another number of mel bins.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._no_grad):
            tokens = self.features(x, mask, time)
            return tokens._replace(x=self.projection(tokens.x))

    def features(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """The tokens before the projection ``[B, F/patch * T/patch, width]``; arguments as those of :meth:`forward`."""
        tokens = self.stream(x, mask, time)  # [B, F/patch * T/patch, width]
        seen = attention_mask(tokens.mask) if self.stream.mask_padding else None
        return tokens._replace(x=self.joint(tokens.x, seen))

    def load_pretrained(self) -> None:
        """Load the file that ``pretrained`` names; does nothing where it is None.

        A CAV-MAE file leaves the projection at random, with a notice in the log.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if it does not hold exactly the weights of this encoder, or a frozen projection would stay random.
        """
        if self.pretrained is None:
            return
        name = type(self).__name__
        if "joint" not in parts_of(self.pretrained):
            load_part(self, self.pretrained, part="audio", component=name)
            return
        if self._frozen_projection:
            raise ValueError(
                f"{self.pretrained} is a CAV-MAE without DALI's projection, which would stay random; set frozen: false, or "
                "name an aligned encoder."
            )
        load_part(self.stream, self.pretrained, part="audio", component=name)
        load_part(
            self.joint, self.pretrained, part="joint", component=name, depth="joint_depth", adapt=_norms_of_sound_alone
        )
        logger.warning(
            "%s has no projection to image tokens: audio_encoder.projection starts at random.", self.pretrained
        )


def _norms_of_sound_alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """CAV-MAE's joint layers -> those that only sound passes."""
    names = {name: single_stream_name(name, "audio") for name in state}
    return {own: state[name] for name, own in names.items() if own is not None}
