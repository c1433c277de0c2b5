"""A language model learns from texts how what is seen tends to sound, before it sees or hears anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from avcap.data.text_module import TextBatch
from avcap.decoders.context import IGNORED
from avcap.decoders.language_model import evaluating, predict
from avcap.decoders.llava import SOUND_PROMPT, LlavaDecoder
from avcap.decoders.search import search
from avcap.decoders.text import Ids
from avcap.systems.optimisation import Schedule
from avcap.systems.system import OptimizerFactory, System, adamw

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
        """Cross-entropy of the answers and their ends, the mean over all tokens of the batch."""
        context = self.context(batch)  # [B, S]
        answer = self.decoder.codec.encode_captions(batch["text"], limit=self.decoder.captions.max_tokens)  # [B, L]
        length = answer.ids.shape[1]
        ids = torch.cat([context.ids, answer.ids[:, :-1]], dim=1)  # [B, S + L - 1]
        mask = F.pad(context.mask, (0, length - 1), value=True)  # what follows an answer is hidden by causality
        logits = predict(self.decoder.lm, self._embed(ids), mask.to(self.device), last=length)  # [B, L, V]
        labels = answer.ids.masked_fill(~answer.mask, IGNORED).to(self.device)
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)

    def context(self, batch: TextBatch) -> Ids:
        """The conversation ``[B, S]`` up to the answer; real in its last place in every row.

        Raises:
            ValueError: if a text has a task without a prompt.
        """
        if unknown := set(batch["task"]) - set(self.prompts):
            raise ValueError(f"There is no prompt for the task {', '.join(sorted(unknown))}; add it to model.prompts.")
        before, after = self.decoder.prompt_ids([self.prompts[task] for task in batch["task"]])  # [B, Lb], [B, La]
        seen = self.decoder.codec.encode(batch["prompt_text"])  # [B, Ls]
        return Ids(*(torch.cat(parts, dim=1) for parts in zip(before, seen, after, strict=True)))

    @torch.no_grad()
    def forward(self, batch: TextBatch, **generation: Any) -> list[str]:
        """What the model answers, with the decoder's settings of the search or those given."""
        with evaluating(self):
            context = self.context(batch)
            embeds, mask = self._embed(context.ids), context.mask.to(self.device)
            settings = {**self.decoder.generation, **generation}
            found = search(self.decoder.lm, embeds, mask, self.decoder.codec.special, settings)
        return self.decoder.codec.decode(found.sequences)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        return self._logged("train", batch)

    def validation_step(self, batch: TextBatch, batch_idx: int) -> None:
        """The loss of texts that are not trained on."""
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

    def _embed(self, ids: Tensor) -> Tensor:
        lm: Any = self.decoder.lm
        return lm.get_input_embeddings()(ids.to(self.device))
