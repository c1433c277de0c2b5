"""Training of a language model on texts about how visible things sound, before it gets any audio or video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avcap.data.text_module import TextBatch
from avcap.decoders.llava import SOUND_PROMPT, LlavaDecoder
from avcap.systems.optimisation import Schedule
from avcap.systems.system import OptimizerFactory, System, adamw
from avcap.types import Tokens

IMAGE_PROMPT = "Describe the image."
PROMPTS = {"see": IMAGE_PROMPT, "hear": SOUND_PROMPT}
FOLDER = "lm"


class LanguageModelling(System):
    """Train the language model of a LLaVA on text alone: ``USER: {what is seen}\\n{prompt} ASSISTANT: {answer}``.

    Words stand where the image tokens of the captioner will stand, everything else is as there, so that the captioner
    begins with a model that knows its own conversation. It replaces, for a model from scratch, what a pretrained one has
    read; DALI itself needs no such stage. The loss is the cross-entropy of the answer and its end. When the fit is over, the
    model and its tokenizer are written to ``<trainer.default_root_dir>/lm``, in Hugging Face's format.

    Args:
        decoder: Holds the language model (``frozen: false``), its tokenizer and the template of the conversation.
        prompts: Task of a text -> the instruction that follows what is seen. None: ``see`` and ``hear``, as the later stages ask.
        optimizer: An optimiser class; it is given the parameter groups.
        schedule: The learning rate as a share of its maximum, over the progress of the run.
    """

    parts = ("decoder",)

    def __init__(
        self,
        decoder: LlavaDecoder,
        *,
        prompts: dict[str, str] | None = None,
        optimizer: OptimizerFactory = adamw,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.decoder = decoder
        self.prompts = prompts or PROMPTS
        self.optimise_with(optimizer, schedule)

    def loss(self, batch: TextBatch) -> Tensor:
        """Compute the cross-entropy of the answers and their ends, averaged over all tokens of the batch."""
        return self.decoder.loss(self.seen(batch), batch["text"], prompts=self.asked(batch))

    def seen(self, batch: TextBatch) -> Tokens:
        """Return the embedded words of what is seen ``[B, N, C]``, in the place of image tokens."""
        ids, mask = (found.to(self.device) for found in self.decoder.codec.encode(batch["prompt_text"]))
        lm: Any = self.decoder.lm
        return Tokens(lm.get_input_embeddings()(ids), mask)

    def asked(self, batch: TextBatch) -> list[str]:
        """Return the instruction of each text.

        Raises:
            ValueError: if a text has a task without a prompt.
        """
        if unknown := set(batch["task"]) - set(self.prompts):
            raise ValueError(f"There is no prompt for the task {', '.join(sorted(unknown))}; add it to model.prompts.")
        return [self.prompts[task] for task in batch["task"]]

    @torch.no_grad()
    def forward(self, batch: TextBatch, **generation: Any) -> list[str]:
        """Generate the model's answers with the decoder's search settings or those given."""
        return self.decoder.generate(self.seen(batch), prompts=self.asked(batch), **generation)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch."""
        return self._logged("train", batch)

    def validation_step(self, batch: TextBatch, batch_idx: int) -> None:
        """Compute the loss of validation texts."""
        self._logged("val", batch)

    def on_fit_end(self) -> None:
        """Write the model where the captioner finds it."""
        if self.trainer.is_global_zero:
            self.save(Path(self.trainer.default_root_dir) / FOLDER)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer in Hugging Face's format, the model's configuration with the ids that frame a text."""
        codec = self.decoder.codec
        lm: Any = self.decoder.lm  # a transformers model
        bos, (eos, *_), pad = codec.special
        lm.config.update({"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad})
        lm.save_pretrained(folder)
        codec.tokenizer.save_pretrained(folder)

    def _logged(self, stage: str, batch: TextBatch) -> Tensor:
        loss = self.loss(batch)
        self.log(f"{stage}/loss", loss, batch_size=len(batch["text"]), prog_bar=True, sync_dist=stage == "val")
        return loss
