"""CED audio encoder: a vision transformer over spectrogram patches."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from avcap.checkpoints.loading import load_weights
from avcap.encoders.base import AudioEncoder
from avcap.encoders.spectrogram import check_spectrogram, spectrogram_shape
from avcap.frontends import FrontEnd, KaldiFbank
from avcap.layers.attention_mask import column_mask
from avcap.layers.freeze import Freezable
from avcap.layers.lora import LoRA
from avcap.layers.patches import SpectrogramPatches
from avcap.layers.token_time import mean_times
from avcap.layers.vit import ViTSize, init_vit
from avcap.types import Tokens

CED_SIZES = {
    "tiny": ViTSize(192, 12, 3),
    "mini": ViTSize(256, 12, 4),
    "small": ViTSize(384, 12, 6),
    "base": ViTSize(768, 12, 12),
}


class CEDEncoder(Freezable, AudioEncoder):
    """CED, the vision transformer over a 64-mel fbank that LAVCap hears with; 160 ms a token.

    Dinkel et al., "CED: Consistent ensemble distillation for audio tagging", ICASSP 2024. The spectrogram goes through a
    BatchNorm with one scale and shift per mel bin, is cut into patches, gets separate time and frequency positions, and
    passes the transformer; there is no class token. Given the published weights the tokens equal those of the official
    code and of LAVCap's copy of it. A spectrogram shorter than the front end's ``target_length`` uses the first
    positions; frames beyond the last whole patch are dropped.

    LAVCap feeds a Kaldi fbank normalised by ``(x + 4.346) / 4.332``, although CED was trained on a decibel mel
    spectrogram; padding frames (1.00323 after that) count as sound. In the official LAVCap code the BatchNorm of the
    frozen encoder uses the statistics of the batch as soon as the trainer calls ``train()``; here a frozen encoder stays
    in evaluation mode.

    Args:
        size: A published size (tiny with 192 channels, mini with 256, small with 384 or base with 768), or a size of one's own.
        frontend: What makes the spectrogram; None: LAVCap's, ``KaldiFbank`` with 64 mel bins. ``CEDMelSpectrogram`` is
            what CED was trained on.
        patch: Side of a patch, in frames and in bins.
        frequency_mean: Average the tokens over frequency: ``T / patch`` tokens, one per ``patch`` frames, as
            LAVCap does. False keeps every patch: token ``f * T/patch + t``, time fastest.
        mask_padding: False counts padding frames of a clip as sound, as the published results do. True keeps patches
            that lie in the padding out of the attention, and masks their tokens.
        frozen: Keep all weights as they are, in evaluation mode; nothing is kept for a backward pass.
        lora: Low-rank adapters. They alone are trained then: everything else counts as frozen.
        pretrained: Safetensors file made by ``avcap weights import``.

    Raises:
        ValueError: if the size is unknown, or the sizes do not fit each other.
    """

    def __init__(
        self,
        size: Literal["tiny", "mini", "small", "base"] | ViTSize = "base",
        *,
        frontend: FrontEnd | None = None,
        patch: int = 16,
        frequency_mean: bool = True,
        mask_padding: bool = False,
        frozen: bool = False,
        lora: LoRA | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        size = size if isinstance(size, ViTSize) else _published(size)
        self.frontend = frontend or KaldiFbank()
        target_length, mels = spectrogram_shape(self.frontend)
        if mels % patch or target_length < patch:
            raise ValueError(
                f"The front end's {mels} mel bins must be a multiple of patch {patch}, and its target_length {target_length} "
                f"at least {patch}."
            )
        self.width = width = size.width
        self.patch = patch
        self.frequency_mean = frequency_mean
        self.mask_padding = mask_padding
        self.pretrained = pretrained

        self.init_bn = nn.BatchNorm1d(mels)
        self.patch_embed = SpectrogramPatches(width, patch)
        self.time_pos_embed = nn.Parameter(torch.empty(1, width, 1, target_length // patch))
        self.freq_pos_embed = nn.Parameter(torch.empty(1, width, mels // patch, 1))
        self.blocks = size.blocks()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        init_vit(self)
        nn.init.trunc_normal_(self.time_pos_embed, std=0.02)
        nn.init.trunc_normal_(self.freq_pos_embed, std=0.02)
        self.restrict(frozen=frozen, lora=lora)

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode an fbank ``[B, T, F]`` with ``patch <= T <= target_length``; see :meth:`Encoder.forward`.

        Returns:
            Tokens ``[B, T/patch, C]``, or ``[B, F/patch * T/patch, C]`` without the mean over frequency; all are masked where a
            clip has no real frame.

        Raises:
            ValueError: if the spectrogram is too long, too short, or has another number of mel bins.
        """
        check_spectrogram(x, self.frontend, patch=self.patch)
        with self.grad_mode():
            patches = self._embed(x)  # [B, F/patch, T/patch, C]
            rows, columns = patches.shape[1:3]
            real = attended = None
            if mask is not None:
                real = column_mask(mask, columns, self.patch, mask_padding=self.mask_padding)  # [B, T/patch]
                if self.mask_padding:  # of a clip without sound all is seen, to stay finite
                    attended = (real | ~real.any(dim=1, keepdim=True)).repeat(1, rows)  # [B, F/patch * T/patch]
            when = mean_times(time, self.patch)  # [B, T/patch]
            tokens = patches.flatten(1, 2)  # [B, F/patch * T/patch, C], time fastest
            for block in self.blocks:
                tokens = block(tokens, attended)
            tokens = self.norm(tokens)
            if self.frequency_mean:
                return Tokens(tokens.unflatten(1, (rows, columns)).mean(dim=1), real, when)  # [B, T/patch, C]
            real, when = (None if row is None else row.repeat(1, rows) for row in (real, when))
            return Tokens(tokens, real, when)

    def load_pretrained(self) -> None:
        """Load the file that ``pretrained`` names; see :meth:`Encoder.load_pretrained`."""
        if self.pretrained is not None:
            load_weights(self, self.pretrained, component="CEDEncoder")

    def _embed(self, x: Tensor) -> Tensor:
        """Convert a spectrogram ``[B, T, F]`` to patches with positions ``[B, F/patch, T/patch, C]``."""
        x = self.patch_embed(self.init_bn(x.transpose(1, 2)))  # [B, F/patch, T/patch, C]
        positions = self.time_pos_embed[..., : x.shape[2]] + self.freq_pos_embed  # [1, C, F/patch, T/patch]
        return x + positions.permute(0, 2, 3, 1)


def _published(name: str) -> ViTSize:
    if name not in CED_SIZES:
        raise ValueError(
            f"size {name!r} is unknown; choose one of {', '.join(CED_SIZES)}, or give width, depth and heads."
        )
    return CED_SIZES[name]
