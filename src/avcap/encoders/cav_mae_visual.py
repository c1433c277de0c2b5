"""The visual half of CAV-MAE: a vision transformer over the patches of one frame, or over tubelets of several."""

from __future__ import annotations

import logging
import math
from typing import Literal

import torch
from torch import Tensor, nn

from avcap.encoders.base import VisualEncoder
from avcap.encoders.cav_mae_stream import PUBLISHED, CAVMAEStream, Positions
from avcap.encoders.frames import FrameNormaliser
from avcap.layers.frame_patches import FramePatches
from avcap.layers.lora import LoRA
from avcap.layers.positions import resample_steps, sincos_grid, sincos_line
from avcap.layers.token_time import mean_times
from avcap.layers.vit import ViTSize
from avcap.types import Tokens

logger = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TUBELET = 2  # frames merged into one, where there are several
NORMAL_START_STEPS = 2  # 4 frames, whose positions the official code starts from a normal distribution

VideoStart = Literal["inflate", "official"]


class CAVMAEVisual(CAVMAEStream, VisualEncoder):
    """The visual blocks of CAV-MAE: 196 tokens of one frame, or of each two frames of a clip; AVCap sees with them.

    Gong et al., "Contrastive audio-visual masked autoencoder", ICLR 2023; Kim et al., "AVCap", Interspeech 2024. One
    frame is cut into patches; several frames into tubelets, two frames deep. Patches get positions and the visual vector,
    and pass ``depth`` blocks; there is no class token and no norm after them. The joint layers, and the norm, are those of
    :class:`avcap.fusion.TokenConcat`.

    Several frames start from a checkpoint of one frame by inflation (Carreira and Zisserman, CVPR 2017): the kernel is
    halved and repeated, the positions are repeated, so that a still clip gives the tokens of its frame once for each pair.
    The official code drops the kernel and the positions of the checkpoint and starts them at random: ``official``.

    Args:
        size: Size of the visual blocks; their depth is L in the paper (11; 0, 6 and 12 in its ablation), and the joint layers
            have the other 12 - L.
        frames: Frames of a clip: 1, or an even number (8 in the published model).
        image_size: Side of the images, a multiple of ``patch``; frames of another size are resized where they are.
        patch: Side of a patch in pixels.
        positions: ``learned``, from a start of sines and cosines on the grid and in time, or ``fixed`` there.
        video_start: How several frames start: ``inflate``, or ``official`` (see above).
        frozen: Keep all weights as they are; nothing is kept for a backward pass.
        lora: Low-rank adapters. They alone are trained then: everything else counts as frozen.
        pretrained: File made by ``avcap weights import`` from a CAV-MAE or AVCap checkpoint; its part ``visual.`` is read.

    Raises:
        ValueError: if the sizes do not fit each other, or ``frames`` is odd.
    """

    part = "visual"
    patch_embed: FramePatches

    def __init__(
        self,
        size: ViTSize = PUBLISHED,
        *,
        frames: int = 1,
        image_size: int = 224,
        patch: int = 16,
        positions: Positions = "learned",
        video_start: VideoStart = "inflate",
        frozen: bool = False,
        lora: LoRA | None = None,
        pretrained: str | None = None,
    ) -> None:
        if image_size % patch:
            raise ValueError(f"image_size {image_size} must be a multiple of patch {patch}.")
        if frames < 1 or (frames > 1 and frames % TUBELET):
            raise ValueError(f"frames is {frames}; choose 1 or an even number, since frames are merged in pairs.")
        side, steps = image_size // patch, max(frames // TUBELET, 1)
        super().__init__(
            size,
            patches=FramePatches(size.width, patch, tubelet=1 if frames == 1 else TUBELET),
            positions=STARTS[video_start](side, steps, size.width).unsqueeze(0),
            learned=positions == "learned",
        )
        self.frames = frames
        self.video_start = video_start
        self.places = side * side
        self.steps = steps
        self.pretrained = pretrained
        self.normalise = FrameNormaliser(image_size, IMAGENET_MEAN, IMAGENET_STD)
        self.restrict(frozen=frozen, lora=lora)

    def input_shape(self, frames: int) -> tuple[int, ...]:
        """Return the shape of the frames ``(N, 3, H, W)``; see :meth:`Encoder.input_shape`."""
        return frames, 3, self.normalise.image_size, self.normalise.image_size

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode frames ``[B, N, 3, H, W]``, values 0..255 (uint8 or float), N = ``frames``; see :meth:`Encoder.forward`.

        The missing half of a pair is filled with the other; a pair without any real frame is kept out of the attention. A pair
        has the mean time of its real frames.

        Returns:
            Tokens ``[B, N/2 * P, C]`` (``[B, P, C]`` for one frame), P patches row by row, pair after pair.

        Raises:
            ValueError: if the clips have another number of frames.
        """
        if x.shape[1] != self.frames:
            raise ValueError(
                f"the clips have {x.shape[1]} frames and the encoder {self.frames}; make data.frames.count and "
                "visual_encoder.frames equal."
            )
        with self.grad_mode():
            images = self.normalise(x).unflatten(0, x.shape[:2])  # [B, N, 3, S, S]
            real = None
            if mask is not None:
                images = self._fill(images, mask)
                real = mask.unflatten(1, (self.steps, -1)).any(dim=2).repeat_interleave(self.places, dim=1)
            patches = self.patch_embed(images).flatten(1, 3)  # [B, steps * P, C]
            when = mean_times(time, self.frames // self.steps, real=mask)  # [B, steps]
            when = None if when is None else when.repeat_interleave(self.places, dim=1)
            return Tokens(self.transform(patches, self.pos_embed, real), real, when)

    def _fill(self, images: Tensor, mask: Tensor) -> Tensor:
        """Set padded frames to zero; in a pair with one real frame, repeat that frame."""
        images = torch.where(mask[:, :, None, None, None], images, 0)
        if self.frames == 1:
            return images
        pairs, real = images.unflatten(1, (-1, TUBELET)), mask.unflatten(1, (-1, TUBELET))  # [B, N/2, 2, ...]
        return torch.where(real[..., None, None, None], pairs, pairs.flip(2)).flatten(1, 2)

    def _adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize the patch kernel and the positions of a file to the number of frames, with a notice in the log."""
        kernel, positions = state.get("patch_embed.weight"), state.get("pos_embed")
        if kernel is None or positions is None or positions.ndim != 3 or positions.shape[1] % self.places:
            return state  # the strict loading that follows names what is wrong
        if kernel.ndim == self.patch_embed.weight.ndim and positions.shape == self.pos_embed.shape:
            return state
        if self.video_start == "official" and kernel.ndim < self.patch_embed.weight.ndim:
            logger.warning(
                "%s: the patch kernel and positions of one frame are dropped and start anew for %d frames, as in the "
                "official code (video_start: official).",
                self.pretrained,
                self.frames,
            )
            own = self.state_dict()
            return {**state, **{name: own[name] for name in ("patch_embed.weight", "patch_embed.bias", "pos_embed")}}
        logger.warning(
            "%s: the patch kernel and the positions of %d time steps are fitted to %d (%d frames); a still clip looks the "
            "same to both.",
            self.pretrained,
            positions.shape[1] // self.places,
            self.steps,
            self.frames,
        )
        return {
            **state,
            "patch_embed.weight": _fit_kernel(kernel, self.patch_embed.tubelet),
            "pos_embed": resample_steps(positions, self.steps, places=self.places),
        }


def _fit_kernel(kernel: Tensor, tubelet: int) -> Tensor:
    """Resize a patch kernel to another number of frames, so that its response to still frames stays the same."""
    still = kernel if kernel.ndim == 4 else kernel.sum(dim=2)  # [C, 3, patch, patch]
    if tubelet == 1:
        return still
    return kernel if kernel.ndim == 5 else (still / tubelet).unsqueeze(2).repeat(1, 1, tubelet, 1, 1)


def _own_start(side: int, steps: int, width: int) -> Tensor:
    """Repeat the position grid of a frame for each step, ``[steps * side * side, C]``, and add the time if there are several."""
    grid = sincos_grid(side, side, width)  # [P, C]
    if steps == 1:
        return grid
    return (grid + sincos_line(steps, width)[:, None]).flatten(0, 1)


def _official_start(side: int, steps: int, width: int) -> Tensor:
    """Initialise as the official code does: a normal distribution for 4 frames, else one square grid over all tokens."""
    if steps == NORMAL_START_STEPS:
        return nn.init.normal_(torch.empty(steps * side * side, width), std=0.02)
    root = math.isqrt(steps * side * side)
    if root * root != steps * side * side:
        raise ValueError(
            f"video_start: official cannot lay {steps * side * side} tokens of {TUBELET * steps} frames out as a square; take "
            "2, 4 or 8 frames, or video_start: inflate."
        )
    return sincos_grid(root, root, width)


STARTS = {"inflate": _own_start, "official": _official_start}
