"""DALI's distribution alignment: training of audio tokens towards the distribution of image tokens, on clips without captions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer

from avcap.encoders.base import AudioEncoder, VisualEncoder
from avcap.losses import AlignmentObjective, AlignmentOutput, check_finite
from avcap.metrics import TokenDistance
from avcap.models.parts import encode
from avcap.systems.optimisation import Constant, Schedule
from avcap.systems.system import OptimizerFactory, System, zero, zero_for_unused
from avcap.systems.token_cache import TokenCache
from avcap.types import Batch, Tokens

LATE = 1_000_000  # an epoch after all that objectives schedule


def adam(parameters: Iterable) -> Optimizer:
    """Build Adam as in the paper, for a config without an optimiser."""
    return torch.optim.Adam(parameters, lr=1e-4)


class Alignment(System):
    """Train an audio encoder so that the tokens of a clip's sound are distributed like those of its image.

    Malard et al., "An Eye for an Ear" (NeurIPS 2024), stage 1b. No caption is read. The result is the audio encoder:
    ``avcap weights part CKPT audio_encoder OUT``.

    The scorers of an attentive objective have the gradient of their own loss, learning rates of their own, and a gradient
    norm that is clipped apart; where they rest, they have none. An optimiser that keeps its moments by parameter, as Adam does,
    then does what two optimisers would do, and clipping, accumulated gradients and resuming work as everywhere.

    Args:
        audio_encoder: audio ``[B, T, F]`` -> tokens ``[B, Na, C]``.
        visual_encoder: frames ``[B, N, 3, H, W]`` -> tokens ``[B, Nv, C]``; kept as it is, whatever its own settings say.
        objective: The distance that is minimised.
        optimizer: An optimiser class; it is given the parameter groups.
        schedule: The learning rate as a share of its maximum, over the progress of the run; None: constant.
        lr_scales: Learning rate factor of a part, or of a module in one, by path (``audio_encoder``, ``objective``: its scorers).
        cache_images: Keep the image tokens of every clip in memory, so that the frozen tower runs in one epoch only. For frames
            that are the same in every epoch (``frames.sampling: even``), and token sets that fit.

    Raises:
        ValueError: if the encoders' tokens differ in width, or ``lr_scales`` names no part.
    """

    parts = ("audio_encoder", "visual_encoder", "objective")

    def __init__(
        self,
        audio_encoder: AudioEncoder,
        visual_encoder: VisualEncoder,
        objective: AlignmentObjective,
        *,
        optimizer: OptimizerFactory = adam,
        schedule: Schedule | None = None,
        lr_scales: dict[str, float] | None = None,
        cache_images: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self._images = TokenCache() if cache_images else None
        if audio_encoder.width != visual_encoder.width:
            raise ValueError(
                f"The audio tokens have {audio_encoder.width} channels and the image tokens {visual_encoder.width}; set the "
                f"width of the audio encoder (audio_encoder.init_args.output_width of DALIAudio) to {visual_encoder.width}."
            )
        self.audio_encoder = audio_encoder
        self.visual_encoder = visual_encoder.requires_grad_(False)
        self.objective = objective
        self.optimise_with(optimizer, schedule or Constant(), lr_scales)
        self.validation_distance = TokenDistance(audio_encoder.width)
        self.test_distance = TokenDistance(audio_encoder.width)
        self._scorers_rest = False
        self.train()  # but not the visual encoder

    # -- forward ------------------------------------------------------------------------------------------------

    def tokens(self, batch: Batch) -> tuple[Tokens, Tokens]:
        """Return audio tokens ``[B, Na, C]`` and image tokens ``[B, Nv, C]``; one masked token for a stream that the batch lacks."""
        audio = encode(self.audio_encoder, batch)
        return self._or_nothing(audio, batch), self._or_nothing(self._image_tokens(batch), batch)

    def forward(self, batch: Batch) -> AlignmentOutput:
        """Compute the objective for a batch, without clips that lack a stream."""
        return self._compare(*self.tokens(batch), batch["id"])

    def dry_loss(self, batch: Batch, *, text_tokens: int) -> Tensor:
        """See :meth:`System.dry_loss`; of a late epoch, in which the scorers learn."""
        audio, image = (encode(encoder, batch) for encoder in (self.audio_encoder, self.visual_encoder))
        output = self.objective(audio, image, epoch=LATE)
        return output.loss if output.scorer_loss is None else output.loss + output.scorer_loss

    def train(self, mode: bool = True) -> Alignment:
        """Set the training mode of all but the visual encoder."""
        super().train(mode)
        self.visual_encoder.eval()
        return self

    def _compare(self, audio: Tokens, image: Tokens, ids: list[str]) -> AlignmentOutput:
        output = self.objective(audio, image, epoch=self.current_epoch + 1)
        check_finite(output.per_clip, ids)
        return output

    @torch.no_grad()
    def _image_tokens(self, batch: Batch) -> Tokens | None:
        """Return the frozen tower's tokens of the frames, from the cache if they are there."""
        kept = None if self._images is None else self._images.find(batch["id"])
        if kept is not None:
            return kept
        image = encode(self.visual_encoder, batch)
        if self._images is not None and image is not None:
            self._images.keep(batch["id"], image)
        return image

    def _or_nothing(self, tokens: Tokens | None, batch: Batch) -> Tokens:
        if tokens is not None:
            return tokens
        x = torch.zeros(len(batch["id"]), 1, self.audio_encoder.width, device=self.device)
        return Tokens(x, torch.zeros(x.shape[:2], dtype=torch.bool, device=self.device))

    # -- steps --------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Refuse to keep image tokens of frames that change.

        Raises:
            ValueError: if ``cache_images`` is set and the data module draws frames at random.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        if self._images is None or not hasattr(data, "input_settings"):
            return
        if data.input_settings().get("frame_sampling") == "random":
            raise ValueError(
                "cache_images would reuse the frames of the first epoch, and frames.sampling: random draws new ones in each; "
                "set model.init_args.cache_images to false, or data.init_args.frames.sampling to even."
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss plus the scorers' loss; stop the run if a clip's value is not finite."""
        output = self(batch)
        clips = len(batch["id"])
        self.log("train/loss", output.loss, batch_size=clips, prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in output.logs.items()}, batch_size=clips)
        total = output.loss + zero_for_unused([self.audio_encoder], batch)
        self._scorers_rest = output.scorer_loss is None
        if output.scorer_loss is None:
            return total + zero(self.objective.scorer_parameters())
        self.log("train/scorer_loss", output.scorer_loss, batch_size=clips)
        return total + output.scorer_loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Compute the distances between the tokens of validation clips."""
        self._measure("val", self.validation_distance, batch)

    def on_validation_epoch_end(self) -> None:
        """Log the distances over all ranks, with every clip once."""
        self._log_distances("val", self.validation_distance)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Do as in validation."""
        self._measure("test", self.test_distance, batch)
        return {}

    def on_test_epoch_end(self) -> None:
        """Do as in validation."""
        self._log_distances("test", self.test_distance)

    def _measure(self, stage: str, distance: TokenDistance, batch: Batch) -> None:
        audio, image = self.tokens(batch)
        output = self._compare(audio, image, batch["id"])
        self.log(f"{stage}/loss", output.loss, batch_size=len(batch["id"]), sync_dist=True)
        distance.update(batch["id"], audio, image)

    def _log_distances(self, stage: str, distance: TokenDistance) -> None:
        values = distance.compute()
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()}, prog_bar=stage == "val")
        distance.reset()

    # -- optimisation -------------------------------------------------------------------------------------------

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Let resting scorers be as they are: a gradient of zeros, which DDP needs, would still move Adam's moments."""
        if self._scorers_rest:
            for parameter in self.objective.scorer_parameters():
                parameter.grad = None

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the scorers' gradients apart from the encoder's, whose loss does not share their scale."""
        scorers = self.objective.scorer_parameters()
        if not gradient_clip_val or not scorers or gradient_clip_algorithm == GradClipAlgorithmType.VALUE:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        apart = {id(parameter) for parameter in scorers}
        others = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in apart]
        for parameters in (scorers, others):
            nn.utils.clip_grad_norm_(parameters, gradient_clip_val)
