"""The captioning system: how a captioning model is trained, validated and tested."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from avcap.checkpoints.state import INPUTS_KEY, require_current
from avcap.decoders.base import Decoder
from avcap.encoders.base import AudioEncoder, VisualEncoder
from avcap.fusion.base import Fusion
from avcap.metrics import CaptionScores
from avcap.models import CaptionModel, DecoderFactory, FusionFactory
from avcap.systems.optimisation import Schedule
from avcap.systems.system import OptimizerFactory, System, adamw, zero_for_unused
from avcap.types import Batch, FusionOutput

log = logging.getLogger(__name__)


class Captioner(System):
    """Train a :class:`avcap.models.CaptionModel`; ``model`` holds it.

    Args:
        audio_encoder: audio ``[B, T, F]`` -> tokens ``[B, Na, Ca]``; None for video only.
        visual_encoder: frames ``[B, N, 3, H, W]`` -> tokens ``[B, Nv, Cv]``; None for audio only.
        fusion: A fusion class; it is given the widths of both encoders.
        decoder: A decoder class; it is given the width of the fused tokens.
        optimizer: An optimiser class; it is given the parameter groups.
        schedule: The learning rate as a share of its maximum, over the progress of the run.
        lr_scales: Learning rate factor of a part, or of a module in one, by path (``audio_encoder``, ``visual_encoder``, ``fusion``, ``decoder``).
        layer_decay: Learning rate decay from layer to layer, by part or by a module in one (``decoder.text: 0.75``): the last
            block has the full rate, each before it that of the next one times the decay.
        metrics: The metrics of ``avcap test``; None for all that are available on this machine.
        validation_generation: Decoding settings in validation, over the decoder's own (greedy is quick).

    Raises:
        ValueError: if ``lr_scales`` or ``layer_decay`` names no part, or no encoder is left that the fusion reads.
    """

    parts = CaptionModel.parts
    shared_out = ("decoder",)

    def __init__(
        self,
        audio_encoder: AudioEncoder | None,
        visual_encoder: VisualEncoder | None,
        fusion: FusionFactory,
        decoder: DecoderFactory,
        *,
        optimizer: OptimizerFactory = adamw,
        schedule: Schedule | None = None,
        lr_scales: dict[str, float] | None = None,
        layer_decay: dict[str, float] | None = None,
        metrics: list[str] | None = None,
        validation_generation: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # under the CLI: the config of every part, so that a checkpoint rebuilds itself
        self.model = CaptionModel(audio_encoder, visual_encoder, fusion, decoder)
        self.optimise_with(optimizer, schedule, lr_scales, layer_decay)
        self.validation_generation = {"num_beams": 1, **(validation_generation or {})}
        self.validation_scores = CaptionScores()
        self.test_scores = CaptionScores(metrics, plain=False)
        self.known: dict[
            str, dict[str, Any]
        ] = {}  # captions that an earlier start of a test or prediction has made, by id
        self.nbest: int | None = None  # captions a clip in predict_step; None: one, without its score

    # -- the model ----------------------------------------------------------------------------------------------

    @property
    def network(self) -> nn.Module:
        """The model; a checkpoint holds its weights under its own names."""
        return self.model

    @property
    def audio_encoder(self) -> AudioEncoder | None:
        """The model's audio encoder."""
        return self.model.audio_encoder

    @property
    def visual_encoder(self) -> VisualEncoder | None:
        """The model's visual encoder."""
        return self.model.visual_encoder

    @property
    def fusion(self) -> Fusion:
        """The model's fusion."""
        return self.model.fusion

    @property
    def decoder(self) -> Decoder:
        """The model's decoder."""
        return self.model.decoder

    def fuse(self, batch: Batch) -> FusionOutput:
        """See :meth:`CaptionModel.fuse`."""
        return self.model.fuse(batch)

    def forward(self, batch: Batch, **generation: Any) -> list[str]:
        """Write one caption a clip."""
        return self.model(batch, **generation)

    def dry_loss(self, batch: Batch, *, text_tokens: int) -> Tensor:
        """See :meth:`System.dry_loss`."""
        fused = self.fuse(batch)
        losses = [self.decoder.dry_loss(fused.tokens, text_tokens), *fused.losses.values()]
        return torch.stack(losses).sum()

    # -- steps --------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of all losses; stop the run if it is not finite."""
        losses = self.model.losses(batch)
        total = torch.stack(list(losses.values())).sum() + zero_for_unused(
            (self.audio_encoder, self.visual_encoder), batch
        )
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
            raise ValueError(
                f"The loss is not finite at step {self.global_step} ({values}), in the batch of clips "
                f"{', '.join(batch['id'])}; look at these clips, lower the learning rate, or use precision 32-true."
            )
        self._log_losses("train", losses, total, len(batch["id"]))
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Compute losses and quick captions of the validation clips."""
        fused = self.fuse(batch)
        losses = self.model.losses(batch, fused)
        self._log_losses("val", losses, torch.stack(list(losses.values())).sum(), len(batch["id"]))
        captions = self.decoder.generate(fused.tokens, **self.validation_generation)
        self.validation_scores.update(batch["id"], captions, batch["references"])
        return {"captions": captions, "maps": fused.maps}

    def on_validation_epoch_end(self) -> None:
        """Log CIDEr-D and the unique ratio over all ranks, every id once."""
        self._log_scores("val", self.validation_scores)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Generate captions with the decoder's own settings (beams)."""
        fused = self.fuse(batch)
        known = self._recall(batch)
        captions = [row["caption"] for row in known] if known else self.decoder.generate(fused.tokens)
        self.test_scores.update(batch["id"], captions, batch["references"])
        return {"captions": captions, "maps": fused.maps}

    def on_test_epoch_end(self) -> None:
        """Log all metrics over all ranks, every id once."""
        self._log_scores("test", self.test_scores)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return captions and maps with their ids; with :attr:`nbest`, several captions per clip with their scores."""
        fused = self.fuse(batch)
        known = self._recall(batch)
        about = {"id": batch["id"], "maps": fused.maps}
        if self.nbest is None:
            captions = [row["caption"] for row in known] if known else self.decoder.generate(fused.tokens)
            return {**about, "captions": captions}
        found = [list(zip(row["captions"], row["log_probs"], strict=True)) for row in known or ()]
        found = found or self.decoder.generate_nbest(fused.tokens, count=self.nbest)
        return {**about, "captions": [best[0][0] for best in found], "nbest": found}

    def _recall(self, batch: Batch) -> list[dict[str, Any]] | None:
        """Return what is known of the clips of a batch, or None where one of them is not: batches stay as they are."""
        rows = [self.known[clip] for clip in batch["id"] if clip in self.known]
        return rows if len(rows) == len(batch["id"]) else None

    def setup(self, stage: str) -> None:
        """See :meth:`System.setup`; a tokenizer that is not there is missed here, before weights are read."""
        super().setup(stage)
        getattr(self.decoder, "codec", None)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # torch declares overloads
        """Return the state of the model, under its own names."""
        return self.model.state_dict(*args, **kwargs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the state of every system, and how the inputs were made, so that `avcap caption` prepares a media file the same way."""
        super().on_save_checkpoint(checkpoint)
        datamodule: Any = getattr(self._trainer, "datamodule", None)
        if hasattr(datamodule, "input_settings"):
            checkpoint[INPUTS_KEY] = datamodule.input_settings()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of an earlier version."""
        require_current(checkpoint)

    # -- logging ------------------------------------------------------------------------------------------------

    def _log_losses(self, stage: str, losses: Mapping[str, Tensor], total: Tensor, clips: int) -> None:
        values = {f"{stage}/loss_{name}": value for name, value in losses.items()}
        evaluating = stage != "train"
        self.log_dict(values, batch_size=clips, sync_dist=evaluating)
        self.log(f"{stage}/loss", total, batch_size=clips, prog_bar=True, sync_dist=evaluating)

    def _log_scores(self, stage: str, scores: CaptionScores) -> None:
        values = scores.compute()
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()}, prog_bar=stage == "val")
        if values.get("unique_ratio", 1.0) < 0.05 and not self.trainer.sanity_checking:
            log.warning(
                "Only %.1f %% of the %s captions are unique: the decoder may not see its tokens.",
                100 * values["unique_ratio"],
                stage,
            )
        if stage == "val":
            scores.reset()
