"""Base of the decoders whose language model continues a context of embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from avcap.checkpoints.hugging_face import Source, is_empty
from avcap.checkpoints.source import load_tokenizer
from avcap.decoders.base import Decoder
from avcap.decoders.captions import CaptionTargets
from avcap.decoders.language_model import (
    IGNORED,
    adapt,
    evaluating,
    has_plain_head,
    predict,
    recomputed_cross_entropy,
    train_adapters_only,
)
from avcap.decoders.prompts import PromptTable
from avcap.decoders.search import by_clip, check_nbest, check_settings, search
from avcap.decoders.text import Ids, TextCodec, special_ids, target_texts
from avcap.layers.lora import LoRA
from avcap.types import Generation, Tokens

if TYPE_CHECKING:
    from avcap.decoders.language_model import LanguageModel


class ContextDecoder(Decoder):
    """A causal language model that reads a context with the fused tokens and continues it with the caption.

    The context is the fused tokens, embedded, inside a prompt; a subclass says which one. Here are the loss of captions that
    follow it and the search for them. The loss is the cross-entropy of the caption and the end token alone. A padded token is
    masked and takes no position, so a clip gives the same result in every batch.

    Args:
        source: Where the language model's weights come from, None where they are random.
        tokenizer_source: Where the tokenizer is, None where none was named.

    Attributes:
        lm: The language model; a subclass sets it.

    Raises:
        ValueError: if a setting is out of range.
    """

    lm: LanguageModel

    def __init__(
        self,
        input_width: int,
        *,
        source: Source | None,
        tokenizer_source: Source | None,
        lora: LoRA | None,
        frozen: bool,
        captions: CaptionTargets,
        gradient_checkpointing: bool,
        generation: Generation,
    ) -> None:
        super().__init__(input_width)
        check_settings(generation)
        self.source = source
        self.tokenizer_source = tokenizer_source
        self.lora = lora
        self.frozen = frozen
        self.captions = captions
        self.gradient_checkpointing = gradient_checkpointing
        self.generation = generation
        self._codec: TextCodec | None = None
        self._prompts: PromptTable | None = None

    @abstractmethod
    def embed_tokens(self, tokens: Tokens) -> Tokens:
        """Convert fused tokens ``[B, N, input_width]`` to everything in the context except text, ``[B, N', C]``."""

    @abstractmethod
    def own_prompts(self, clips: int) -> list[str]:
        """Return the decoder's own instruction for each clip."""

    @abstractmethod
    def split_prompt(self, prompt: str) -> tuple[list[int], list[int]]:
        """Return ids of all text before the tokens and of all text after them, the instruction in its template."""

    def prompt_ids(self, prompts: Sequence[str]) -> tuple[Ids, Ids]:
        """Return ids before the tokens (padded right) and after them (padded left), a row an instruction."""
        if self._prompts is None:
            self._prompts = PromptTable(self.codec, self.split_prompt)
        return self._prompts.rows(prompts)

    def context(self, tokens: Tokens, prompts: Sequence[str | None] | None = None) -> tuple[Tensor, Tensor | None]:
        """Return embeddings ``[B, S, C]`` of all that precedes the caption, and where they are real (None: everywhere).

        The last position is real in every row, so all captions begin at the same place. ``prompts`` as in :meth:`Decoder.loss`.
        """
        embedded = self.embed_tokens(tokens)  # [B, N', C]; a wrong width shows before the tokenizer is read
        chosen = self.own_prompts(len(tokens.x))
        if prompts is not None:
            if len(prompts) != len(chosen):
                raise ValueError(f"There are {len(prompts)} prompts for {len(chosen)} clips; give one a clip, or None.")
            chosen = [own if prompt is None else prompt for own, prompt in zip(chosen, prompts, strict=True)]
        return self._surround(embedded, *self.prompt_ids(chosen))

    def loss(self, tokens: Tokens, captions: list[str], *, prompts: Sequence[str | None] | None = None) -> Tensor:
        """Compute the cross-entropy of the captions and their end tokens, averaged over the batch; see :meth:`Decoder.loss`.

        Raises:
            ValueError: if the width of the tokens, or the number of captions or prompts, does not fit.
        """
        return self._cross_entropy(*self._inputs(tokens, captions, prompts))

    def logits(
        self, tokens: Tokens, captions: list[str], prompts: Sequence[str | None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return logits ``[B, L, V]`` of the caption tokens and the end token, and their ids ``[B, L]`` (-100 on padding)."""
        embeds, mask, labels = self._inputs(tokens, captions, prompts)
        return predict(self.lm, embeds, mask, last=labels.shape[1]), labels

    def _inputs(
        self, tokens: Tokens, captions: list[str], prompts: Sequence[str | None] | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return embeddings ``[B, S + L - 1, C]`` and their mask, whose last ``L`` positions predict the labels ``[B, L]``."""
        texts = target_texts(captions, clips=len(tokens.x), lowercase=self.captions.lowercase)
        text = self.codec.encode_captions(texts, limit=self.captions.max_tokens)
        ids = text.ids.to(tokens.x.device)  # [B, L]
        labels = ids.masked_fill(~text.mask.to(ids.device), IGNORED)
        context, mask = self.context(tokens, prompts)  # [B, S, C], [B, S]
        self.tell(Tokens(context, mask), text.mask[:, 1:])
        embeds = torch.cat([context, self._embed(ids[:, :-1])], dim=1)  # [B, S + L - 1, C]
        if mask is not None:
            mask = F.pad(mask, (0, ids.shape[1] - 1), value=True)  # what follows a caption is hidden by causality
        return embeds, mask, labels  # the last context position predicts the first caption token

    def dry_loss(self, tokens: Tokens, text_tokens: int) -> Tensor:
        """See :meth:`Decoder.dry_loss`; half of the text is the caption, and it all follows the tokens."""
        ids = torch.zeros(len(tokens.x), text_tokens, dtype=torch.long, device=tokens.x.device)
        embeds = torch.cat([self.embed_tokens(tokens).x, self._embed(ids)], dim=1)  # [B, N' + L, C]
        labels = ids[:, : max(1, text_tokens // 2)]
        return self._cross_entropy(embeds, None, labels)

    @torch.no_grad()
    def generate(self, tokens: Tokens, *, prompts: Sequence[str | None] | None = None, **settings: object) -> list[str]:
        """Generate one caption per clip; every clip is decoded to its own end. See :meth:`Decoder.generate` and :meth:`context`.

        Raises:
            ValueError: if a setting is unknown or the width of the tokens does not fit.
        """
        return self.codec.decode(self._search(tokens, settings, prompts).sequences)

    @torch.no_grad()
    def generate_nbest(self, tokens: Tokens, *, count: int, **settings: Any) -> list[list[tuple[str, float]]]:
        """Return the best ``count`` captions of each clip by beam search, with their scores (mean log probability a token).

        Raises:
            ValueError: if there are fewer than 2 beams or fewer beams than ``count``.
        """
        check_nbest(settings.get("num_beams", self.generation["num_beams"]), count=count)
        found = self._search(tokens, settings, num_return_sequences=count, output_scores=True)
        return by_clip(self.codec.decode(found.sequences), found.sequences_scores.view(-1, count))

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; a frozen language model follows only with the dropout of its adapters."""
        super().train(mode)
        if self.frozen or self.lora is not None:
            train_adapters_only(self.lm, mode)
        return self

    @property
    def codec(self) -> TextCodec:
        """The tokenizer with the ids that frame a text, read at the first use.

        Raises:
            FileNotFoundError: if there is no tokenizer.
            ValueError: if it has more tokens than the language model.
        """
        if self._codec is None:
            tokenizer = self._read_tokenizer()
            vocabulary = self.lm.get_input_embeddings().num_embeddings
            if len(tokenizer) > vocabulary:
                raise ValueError(
                    f"The tokenizer has {len(tokenizer)} tokens and the language model {vocabulary}; "
                    "leave vocab_size out of decoder.config, or name the model's own tokenizer."
                )
            eos = None if self.source is None else self.lm.config.eos_token_id
            self._codec = TextCodec(tokenizer, special_ids(tokenizer, eos))
        return self._codec

    def _adapt(self, model: LanguageModel) -> LanguageModel:
        return adapt(model, frozen=self.frozen, lora=self.lora, gradient_checkpointing=self.gradient_checkpointing)

    def _read_tokenizer(self) -> Any:
        if self.tokenizer_source is None:
            raise ValueError("decoder.tokenizer is not set; name a folder with one, such as `avcap data demo` makes.")
        return load_tokenizer(self.tokenizer_source)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.lm.get_input_embeddings()(ids)

    def _cross_entropy(self, embeds: Tensor, mask: Tensor | None, labels: Tensor) -> Tensor:
        smoothing = self.captions.label_smoothing
        if self.gradient_checkpointing and torch.is_grad_enabled() and has_plain_head(self.lm):
            return recomputed_cross_entropy(self.lm, embeds, mask, labels, smoothing=smoothing)
        logits = predict(self.lm, embeds, mask, last=labels.shape[1])  # [B, L, V]
        logits, labels = logits.flatten(0, 1).float(), labels.flatten()
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, label_smoothing=smoothing)

    def _surround(self, tokens: Tokens, before: Ids, after: Ids) -> tuple[Tensor, Tensor | None]:
        """Return embeddings ``[B, N', C]`` between text ``[B, Lb]`` and ``[B, La]``; see :meth:`context`."""
        device = tokens.x.device
        text = self._embed(torch.cat([before.ids, after.ids], dim=1).to(device))  # [B, Lb + La, C]
        cut = before.ids.shape[1]
        embeds = torch.cat([text[:, :cut], tokens.x, text[:, cut:]], dim=1)  # [B, S, C]
        if tokens.mask is None and before.mask.all() and after.mask.all():
            return embeds, None
        return embeds, torch.cat([before.mask.to(device), tokens.full_mask(), after.mask.to(device)], dim=1)

    def _require_usable(self, tokens: Tensor) -> None:
        """Raise where fused tokens ``[B, N, C]`` have another width, or the language model no weights yet."""
        width = tokens.shape[-1]
        if width != self.input_width:
            raise ValueError(
                f"The fused tokens have {width} channels and decoder.input_width is {self.input_width}; make them equal."
            )
        if self.source is not None and is_empty(self.lm) and not tokens.is_meta:
            raise ValueError(f"The weights of {self.source.name} are not loaded; call load_pretrained() first.")

    def _search(
        self, tokens: Tokens, settings: dict[str, object], prompts: Sequence[str | None] | None = None, **more: object
    ) -> Any:
        """Search with :attr:`generation`, overridden by ``settings``."""
        check_settings(settings)
        with evaluating(self):
            context, mask = self.context(tokens, prompts)  # [B, S, C], [B, S]
            return search(self.lm, context, mask, self.codec.special, {**self.generation, **settings, **more})
