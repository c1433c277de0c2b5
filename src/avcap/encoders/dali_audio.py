"""DALI's audio branch: CAV-MAE's path of sound, projected to the width of image tokens."""

from __future__ import annotations

import logging

from torch import Tensor, nn

from avcap.checkpoints.loading import load_part, parts_of
from avcap.encoders.base import AudioEncoder
from avcap.encoders.cav_mae_audio import CAVMAEAudio
from avcap.encoders.cav_mae_stream import PUBLISHED, Positions
from avcap.frontends import FrontEnd, KaldiFbank
from avcap.layers.attention_mask import attention_mask
from avcap.layers.freeze import Freezable
from avcap.layers.joint import SingleStreamLayers, single_stream_name
from avcap.layers.lora import LoRA, add_lora
from avcap.layers.vit import ViTSize, init_vit
from avcap.types import Tokens

logger = logging.getLogger(__name__)

MEAN, STD = -5.081, 4.4849  # of AudioSet's Kaldi filter bank, in the official code


class DALIAudio(Freezable, AudioEncoder):
    """The audio blocks of CAV-MAE, its joint layers as sound alone passes them, and a linear layer: 512 tokens for 10 s.

    Malard et al., "An eye for an ear", NeurIPS 2024: alignment trains all of it, so that the tokens of a clip are
    distributed like those of its image (CLIP ViT-L/14: 1024 channels). DALI normalises the fbank by ``(x + 5.081) / 4.4849``.
    Of the joint layers the norms of sound alone are made: the others would never be used.

    Args:
        size: Size of the audio blocks; the joint ones are as wide, and drop as often as the last of these.
        joint_depth: Joint blocks.
        output_width: Channels of the tokens: those of the image tokens.
        frontend: What makes the spectrogram, its length a multiple of ``patch``; None: DALI's, ``KaldiFbank`` with 128 mel
            bins, mean -5.081 and standard deviation 4.4849.
        patch: Side of a patch, in frames and in bins.
        positions: ``learned``, from a start of sines and cosines on the grid, as DALI's are, or ``fixed`` there.
        mask_padding: False counts padding frames of a clip as sound, as the published results do. True keeps patches
            that lie in the padding out of the attention, and masks their tokens.
        frozen: Keep all weights as they are; nothing is kept for a backward pass.
        lora: Low-rank adapters. They and the projection are trained then: everything else counts as frozen.
        pretrained: File made by ``avcap weights import`` from a DALI checkpoint, or by ``avcap weights part`` from a run; or
            one imported from a CAV-MAE or AVCap checkpoint, where alignment starts: it has no projection.

    Raises:
        ValueError: if the sizes do not fit each other.
    """

    def __init__(
        self,
        size: ViTSize = PUBLISHED,
        *,
        joint_depth: int = 1,
        output_width: int = 1024,
        frontend: FrontEnd | None = None,
        patch: int = 16,
        positions: Positions = "learned",
        mask_padding: bool = False,
        frozen: bool = False,
        lora: LoRA | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if joint_depth < 0:
            raise ValueError(f"joint_depth is {joint_depth}; choose 0 or more blocks.")
        self.frontend = frontend or KaldiFbank(128, mean=MEAN, std=STD)
        self.stream = CAVMAEAudio(
            size, frontend=self.frontend, patch=patch, positions=positions, mask_padding=mask_padding
        )
        self.joint = SingleStreamLayers(
            size.width, depth=joint_depth, heads=size.heads, mlp_ratio=size.mlp_ratio, drop_path=size.drop_path
        )
        self.projection = nn.Linear(size.width, output_width)
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

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode an fbank ``[B, T, F]``, as :meth:`CAVMAEAudio.forward` takes it, to tokens like those of an image.

        Returns:
            Tokens ``[B, F/patch * T/patch, output_width]``, time fastest.

        Raises:
            ValueError: if the spectrogram is too long, too short, or has another number of mel bins.
        """
        with self.grad_mode():
            tokens = self.features(x, mask, time)
            return tokens._replace(x=self.projection(tokens.x))

    def features(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Return the tokens before the projection ``[B, F/patch * T/patch, width]``; arguments as for :meth:`forward`."""
        tokens = self.stream(x, mask, time)  # [B, F/patch * T/patch, width]
        seen = attention_mask(tokens.mask) if self.stream.mask_padding else None
        return tokens._replace(x=self.joint(tokens.x, seen))

    def load_pretrained(self) -> None:
        """Load the file that ``pretrained`` names; see :meth:`Encoder.load_pretrained`.

        A CAV-MAE file leaves the projection at random, with a notice in the log.

        Raises:
            ValueError: if it does not hold exactly the weights of this encoder, or a frozen projection would stay random.
        """
        if self.pretrained is None:
            return
        name = type(self).__name__
        if "joint" not in parts_of(self.pretrained):
            load_part(self, self.pretrained, part="audio", component=name, depth="size.depth")
            return
        if self._frozen_projection:
            raise ValueError(
                f"{self.pretrained} is a CAV-MAE without DALI's projection, which would stay random; set frozen: false, or "
                "name an aligned encoder."
            )
        load_part(self.stream, self.pretrained, part="audio", component=name, depth="size.depth")
        load_part(
            self.joint, self.pretrained, part="joint", component=name, depth="joint_depth", adapt=_norms_of_sound_alone
        )
        logger.warning(
            "%s has no projection to image tokens: audio_encoder.projection starts at random.", self.pretrained
        )


def _norms_of_sound_alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert CAV-MAE's joint layers to layers for audio alone."""
    names = {name: single_stream_name(name, "audio") for name in state}
    return {own: state[name] for name, own in names.items() if own is not None}
