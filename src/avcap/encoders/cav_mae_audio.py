"""The audio half of CAV-MAE: a vision transformer over spectrogram patches."""

from __future__ import annotations

from torch import Tensor

from avcap.encoders.base import AudioEncoder
from avcap.encoders.cav_mae_stream import PUBLISHED, CAVMAEStream, Positions
from avcap.encoders.spectrogram import check_spectrogram, spectrogram_shape
from avcap.frontends import FrontEnd, KaldiFbank
from avcap.layers.attention_mask import column_mask
from avcap.layers.lora import LoRA
from avcap.layers.patches import SpectrogramPatches
from avcap.layers.positions import sincos_grid
from avcap.layers.token_time import mean_times
from avcap.layers.vit import ViTSize
from avcap.types import Tokens


class CAVMAEAudio(CAVMAEStream, AudioEncoder):
    """The audio blocks of CAV-MAE, over a 128-mel fbank: 512 tokens for 10 s; AVCap hears with them.

    Gong et al., "Contrastive audio-visual masked autoencoder", ICLR 2023; Kim et al., "AVCap", Interspeech 2024. The
    fbank is cut into patches, which get positions and the audio vector, and pass ``depth`` blocks; there is no class
    token and no norm after them. The joint layers, and the norm, are those of :class:`avcap.fusion.TokenConcat`. AVCap
    normalises the fbank by ``(x + 4.346) / 4.332``; padding frames (1.00323 after that) count as sound there.

    Args:
        size: Size of the audio blocks; their depth is L in the paper (11; 0, 6 and 12 in its ablation), and the joint layers
            have the other 12 - L.
        frontend: What makes the spectrogram, its length a multiple of ``patch``; None: AVCap's, ``KaldiFbank`` with 128 mel
            bins.
        patch: Side of a patch, in frames and in bins.
        positions: ``learned``, from a start of sines and cosines on the grid, or ``fixed`` there.
        mask_padding: False counts padding frames of a clip as sound, as the published results do. True keeps patches
            that lie in the padding out of the attention, and masks their tokens.
        frozen: Keep all weights as they are; nothing is kept for a backward pass.
        lora: Low-rank adapters. They alone are trained then: everything else counts as frozen.
        pretrained: File made by ``avcap weights import`` from a CAV-MAE or AVCap checkpoint; its part ``audio.`` is read.

    Raises:
        ValueError: if the sizes do not fit each other.
    """

    part = "audio"

    def __init__(
        self,
        size: ViTSize = PUBLISHED,
        *,
        frontend: FrontEnd | None = None,
        patch: int = 16,
        positions: Positions = "learned",
        mask_padding: bool = False,
        frozen: bool = False,
        lora: LoRA | None = None,
        pretrained: str | None = None,
    ) -> None:
        frontend = frontend or KaldiFbank(128)
        target_length, mels = spectrogram_shape(frontend)
        if mels % patch or target_length % patch or target_length < patch:
            raise ValueError(
                f"The front end's {mels} mel bins and target_length {target_length} must be multiples of patch {patch}."
            )
        rows, columns = mels // patch, target_length // patch
        super().__init__(
            size,
            patches=SpectrogramPatches(size.width, patch),
            positions=sincos_grid(rows, columns, size.width).unsqueeze(0),
            learned=positions == "learned",
        )
        self.frontend = frontend
        self.patch = patch
        self.mask_padding = mask_padding
        self.pretrained = pretrained
        self.restrict(frozen=frozen, lora=lora)

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode an fbank ``[B, T, F]`` with ``patch <= T <= target_length``; see :meth:`Encoder.forward`.

        Frames beyond the last whole patch are dropped; a shorter spectrogram uses the first positions in time.

        Returns:
            Tokens ``[B, F/patch * T/patch, C]``, time fastest: token ``f * T/patch + t``.

        Raises:
            ValueError: if the spectrogram is too long, too short, or has another number of mel bins.
        """
        check_spectrogram(x, self.frontend, patch=self.patch)
        with self.grad_mode():
            patches = self.patch_embed(x.transpose(1, 2))  # [B, F/patch, T/patch, C]
            rows, columns = patches.shape[1:3]
            places = self.pos_embed.unflatten(1, (rows, -1))[:, :, :columns].flatten(1, 2)  # [1, F/patch * T/patch, C]
            real = None
            if mask is not None:
                real = column_mask(mask, columns, self.patch, mask_padding=self.mask_padding).repeat(1, rows)
            tokens = self.transform(patches.flatten(1, 2), places, real if self.mask_padding else None)
            when = mean_times(time, self.patch)  # [B, T/patch]
            return Tokens(tokens, real, None if when is None else when.repeat(1, rows))
