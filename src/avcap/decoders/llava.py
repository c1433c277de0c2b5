"""Decoder: the language model of LLaVA, with a learned prefix where one is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from avcap.checkpoints.hugging_face import Source, is_empty
from avcap.checkpoints.llava import (
    IMAGE_TOKEN,
    LANGUAGE,
    Attention,
    Format,
    chosen_format,
    llava_config,
    llava_settings,
    load_pretrained_part,
)
from avcap.checkpoints.loading import load_weights
from avcap.checkpoints.source import find_source
from avcap.decoders.captions import CaptionTargets
from avcap.decoders.context import ContextDecoder
from avcap.decoders.language_model import load_into, random_language_model
from avcap.decoders.prefix import LearnedPrefix, PrefixTuning
from avcap.decoders.prompts import PROMPT, TOKENS, check_template
from avcap.decoders.text import special_ids
from avcap.layers.lora import LoRA
from avcap.types import Generation, Tokens

if TYPE_CHECKING:
    from avcap.decoders.language_model import LanguageModel

TEMPLATE = "USER: {tokens}\n{prompt} ASSISTANT:"
"""LLaVA-1.5's conversation, as its Hugging Face processor writes it."""

SOUND_PROMPT = "Describe the sound that can be heard in this scene."
"""What DALI asks."""


@dataclass(frozen=True)
class LlavaPrompting:
    """Settings of the prompt of LLaVA's language model.

    Args:
        template: Text around {tokens} and {prompt}.
        prompt: The instruction, in training and evaluation.
    """

    template: str = TEMPLATE
    prompt: str = SOUND_PROMPT


PROMPTING, CAPTIONS = LlavaPrompting(), CaptionTargets()


class LlavaDecoder(ContextDecoder):
    """The language model of LLaVA (Liu et al., NeurIPS 2023), as DALI (NeurIPS 2024) captions sounds with it.

    The input is ``text before, fused tokens, prefix, text after, caption, eos``, with the fused tokens already in the
    embedding space (:class:`~avcap.fusion.LlavaProjection`). The text is tokenised as a whole with ``<image>`` in place of
    the tokens and framed as the tokenizer frames it, so that image tokens alone, without a prefix, give exactly the captions
    of transformers' ``LlavaForConditionalGeneration``. Without ``model`` the weights are random.

    Args:
        input_width: Channels of the fused tokens; the language model's own.
        model: Folder or hub name of a LLaVA model in Hugging Face's format; only the language model's weights are read.
        config: A ``LlavaConfig`` (JSON file or mapping), in place of the one of ``model``. A vocab_size left out of its
            text_config is taken from the tokenizer, ``<image>`` included.
        language_model: Folder or hub name of a causal language model to start from, in place of the one of ``model``, as LLaVA
            itself started from Vicuna; its embeddings grow where its vocabulary is smaller.
        tokenizer: Folder or hub name of the tokenizer. None: the one of ``language_model`` or ``model``.
        lora: Low-rank adapters in the language model; they are trained also where it is frozen.
        frozen: Keep the language model as it is, in evaluation mode.
        prefix: A learned prefix; None: there is none.
        prompting: The text around the fused tokens.
        captions: How captions become targets.
        dtype: Number format of the language model's weights; "auto" keeps the checkpoint's, or float32 for random ones.
        attention: Attention implementation of transformers; eager is the quickest in bfloat16 on a CPU.
        gradient_checkpointing: Recompute the layers, and the logits, in the backward pass: less memory, about a third slower.
        generation: Decoding settings; those left out are greedy search and 60 new tokens. ``{do_sample: true, temperature:
            0.2}`` draws captions as LLaVA's own demonstration does.

    Raises:
        ValueError: if neither ``model`` nor ``config`` is given, the tokens have another width than the language model, or a
            setting is out of range or contradicts another.
        FileNotFoundError: if a named configuration, model or tokenizer is not there.
    """

    def __init__(
        self,
        input_width: int,
        *,
        model: str | None = None,
        config: dict[str, Any] | Path | None = None,
        language_model: str | None = None,
        tokenizer: str | None = None,
        lora: LoRA | None = None,
        frozen: bool = True,
        prefix: PrefixTuning | None = None,
        prompting: LlavaPrompting = PROMPTING,
        captions: CaptionTargets = CAPTIONS,
        dtype: Format = "auto",
        attention: Attention = "sdpa",
        gradient_checkpointing: bool = False,
        generation: Generation | None = None,
    ) -> None:
        origin = language_model or model
        source = None if origin is None else find_source(origin)
        super().__init__(
            input_width,
            source=source,
            tokenizer_source=source if tokenizer is None else find_source(tokenizer),
            lora=lora,
            frozen=frozen,
            captions=captions,
            gradient_checkpointing=gradient_checkpointing,
            generation={"num_beams": 1, "max_new_tokens": 60, **(generation or {})},
        )
        self.model, self.language_model = model, language_model
        self.prefix_file = None if prefix is None else prefix.file
        self.pretrained = origin or self.prefix_file
        self.template = check_template(prompting.template)
        self.prompt = prompting.prompt
        self.dtype: Format = dtype
        self.attention = attention
        settings = self._text_config(config)
        with torch.device("meta" if source is not None else torch.get_default_device()):
            lm = random_language_model(settings, dtype=chosen_format(dtype), attention=attention)
        self.lm = self._adapt(lm)
        if input_width != settings.hidden_size:
            raise ValueError(
                f"LlavaDecoder takes tokens of its language model's width, {settings.hidden_size}, but the fusion gives "
                f"{input_width}; choose fusion: LlavaProjection with the same model or config."
            )
        self.prefix = None if prefix is None else LearnedPrefix(prefix.tokens, input_width).requires_grad_(prefix.train)
        self.train()

    @property
    def always_saved(self) -> tuple[str, ...]:
        """What only a checkpoint holds, because no file of its own was named."""
        files = {"lm": self.source, "prefix": self.prefix_file}
        return tuple(name for name, file in files.items() if file is None)

    def embed_tokens(self, tokens: Tokens) -> Tokens:
        """Return fused tokens ``[B, N, C]``, and the prefix behind them ``[B, N + K, C]``."""
        self._require_usable(tokens.x)
        tokens = tokens._replace(x=tokens.x.to(self.lm.get_input_embeddings().weight.dtype))
        return tokens if self.prefix is None else self.prefix(tokens)

    def own_prompts(self, clips: int) -> list[str]:
        """Return the same prompt for all clips."""
        return [self.prompt] * clips

    def split_prompt(self, prompt: str) -> tuple[list[int], list[int]]:
        """See :meth:`ContextDecoder.split_prompt`; the text is tokenised as one, with ``<image>`` for the tokens."""
        tokenizer = self.codec.tokenizer
        ids = tokenizer(self.template.replace(TOKENS, IMAGE_TOKEN).replace(PROMPT, prompt))["input_ids"]
        image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if ids.count(image) != 1:
            raise ValueError(
                f"The prompt {prompt!r} must not hold {IMAGE_TOKEN}; it stands in decoder.prompting.template as {TOKENS}."
            )
        at = ids.index(image)
        return ids[:at], ids[at + 1 :]

    def load_pretrained(self) -> None:
        """Read the language model from ``model``, once, and the prefix from its file; does nothing where none is named.

        Raises:
            FileNotFoundError: if there is no such model or file.
            ValueError: if weights are missing or of another size.
        """
        if self.source is not None and is_empty(self.lm):
            self.lm = self._adapt(self._read_language_model(self.source))
            self.train(self.training)
        if self.prefix is not None and self.prefix_file is not None:
            load_weights(self.prefix, self.prefix_file, component="decoder.prefix")

    def _read_language_model(self, source: Source) -> LanguageModel:
        if self.language_model is None and self.model is not None:
            part = load_pretrained_part(self.lm, self.model, LANGUAGE, owner="decoder", dtype=self.dtype)
            return cast("LanguageModel", part)
        dtype = "auto" if self.dtype == "auto" else chosen_format(self.dtype)
        return load_into(self.lm.config, source, dtype=dtype, attention=self.attention)

    def _text_config(self, config: Path | dict[str, Any] | None) -> Any:
        """Return the language model's configuration; if it has no vocabulary, take its size and special ids from the tokenizer."""
        text = llava_config(self.model, config, owner="decoder").text_config
        if self.model is None and config is not None:
            named = llava_settings(config, field="decoder.config")["text_config"]
            if "vocab_size" not in named:
                tokenizer = self._read_tokenizer()
                text.vocab_size = len(tokenizer)
                special = special_ids(tokenizer, None)
                text.bos_token_id, text.eos_token_id = special.bos, special.eos[0]
        return text

    def _read_tokenizer(self) -> Any:
        """Load the tokenizer, and add the token that stands for the image."""
        tokenizer = super()._read_tokenizer()
        if IMAGE_TOKEN not in tokenizer.get_vocab():
            tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
        return tokenizer
