"""The captioning system: two encoders, a fusion and a decoder, composed; it knows no concrete class."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from avcap.decoders.base import Decoder
from avcap.encoders.base import AudioEncoder, Encoder, VisualEncoder
from avcap.fusion.base import Fusion
from avcap.metrics import CaptionScores
from avcap.systems.optimisation import Schedule
from avcap.systems.system import OptimizerFactory, System, adamw, encode, idle
from avcap.types import Batch, FusionOutput

log = logging.getLogger(__name__)

INPUTS_KEY = "avcap_inputs"  # entry of a checkpoint: how its data module made the inputs
FusionFactory = Callable[[int | None, int | None], Fusion]  # (audio width, visual width) -> Fusion
DecoderFactory = Callable[[int], Decoder]  # (width of the fused tokens) -> Decoder


class Captioner(System):
    """Caption clips: encode both streams, fuse the tokens, decode them to text.

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

    parts = ("audio_encoder", "visual_encoder", "fusion", "decoder")

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
        self.fusion = fusion(_width(audio_encoder), _width(visual_encoder))
        # an encoder that the fusion does not read is not kept: nothing is computed or stored for it
        self.audio_encoder = audio_encoder if "audio" in self.fusion.streams else None
        self.visual_encoder = visual_encoder if "video" in self.fusion.streams else None
        if self.audio_encoder is None and self.visual_encoder is None:
            raise ValueError(
                f"{type(self.fusion).__name__} reads {' and '.join(self.fusion.streams)} but no such encoder is given; "
                f"set model.init_args.audio_encoder or visual_encoder."
            )
        self.decoder = decoder(self.fusion.width)
        self.optimise_with(optimizer, schedule, lr_scales, layer_decay)
        self.validation_generation = {"num_beams": 1, **(validation_generation or {})}
        self.validation_scores = CaptionScores()
        self.test_scores = CaptionScores(metrics, plain=False)
        self.nbest: int | None = None  # captions a clip in predict_step; None: one, without its score

    # -- forward ------------------------------------------------------------------------------------------------

    def fuse(self, batch: Batch) -> FusionOutput:
        """Tokens of both streams, fused; a stream that the batch or the model lacks is left out."""
        return self.fusion(encode(self.audio_encoder, batch), encode(self.visual_encoder, batch))

    def forward(self, batch: Batch, **generation: Any) -> list[str]:
        """One caption a clip."""
        return self.decoder.generate(self.fuse(batch).tokens, **generation)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss by name, weighted; their sum is minimised."""
        return self._losses(self.fuse(batch), batch)

    def dry_loss(self, batch: Batch, *, text_tokens: int) -> Tensor:
        """See :meth:`System.dry_loss`."""
        fused = self.fuse(batch)
        losses = [self.decoder.dry_loss(fused.tokens, text_tokens), *fused.losses.values()]
        return torch.stack(losses).sum()

    def _losses(self, fused: FusionOutput, batch: Batch) -> dict[str, Tensor]:
        caption = self.decoder.loss(fused.tokens, batch["caption"], prompts=batch.get("prompt"))
        return {"caption": caption, **fused.losses}

    # -- steps --------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The sum of all losses; stops the run where it is not finite."""
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum() + idle((self.audio_encoder, self.visual_encoder), batch)
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
            raise ValueError(
                f"The loss is not finite at step {self.global_step} ({values}), in the batch of clips "
                f"{', '.join(batch['id'])}; look at these clips, lower the learning rate, or use precision 32-true."
            )
        self._log_losses("train", losses, total, len(batch["id"]))
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Losses and quick captions of the validation clips."""
        fused = self.fuse(batch)
        losses = self._losses(fused, batch)
        self._log_losses("val", losses, torch.stack(list(losses.values())).sum(), len(batch["id"]))
        captions = self.decoder.generate(fused.tokens, **self.validation_generation)
        self.validation_scores.update(batch["id"], captions, batch["references"])
        return {"captions": captions, "maps": fused.maps}

    def on_validation_epoch_end(self) -> None:
        """CIDEr-D and the unique ratio over all ranks, every id once."""
        self._log_scores("val", self.validation_scores)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Captions with the decoder's own settings (beams)."""
        fused = self.fuse(batch)
        captions = self.decoder.generate(fused.tokens)
        self.test_scores.update(batch["id"], captions, batch["references"])
        return {"captions": captions, "maps": fused.maps}

    def on_test_epoch_end(self) -> None:
        """All metrics over all ranks, every id once."""
        self._log_scores("test", self.test_scores)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Captions and maps, with the ids they belong to; with :attr:`nbest`, several captions a clip with their scores."""
        fused = self.fuse(batch)
        if self.nbest is None:
            return {"id": batch["id"], "captions": self.decoder.generate(fused.tokens), "maps": fused.maps}
        found = self.decoder.generate_nbest(fused.tokens, count=self.nbest)
        return {"id": batch["id"], "captions": [best[0][0] for best in found], "nbest": found, "maps": fused.maps}

    # -- checkpoints --------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every system, and how the inputs were made, so that `avcap caption` prepares a loose file the same way."""
        super().on_save_checkpoint(checkpoint)
        datamodule = getattr(self._trainer, "datamodule", None)
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


def require_current(checkpoint: Mapping[str, Any], path: object = "The checkpoint") -> None:
    """Refuse the checkpoint of a captioner whose shards, not its audio encoder, said how it hears.

    Raises:
        ValueError: naming the checkpoint.
    """
    if "front_end" in checkpoint.get(INPUTS_KEY, {}):
        raise ValueError(f"{path} is of an earlier version, in which no encoder owned its front end; train it again.")


def _width(encoder: Encoder | None) -> int | None:
    return None if encoder is None else encoder.width
