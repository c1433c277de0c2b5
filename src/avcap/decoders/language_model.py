"""A causal language model as a module: built, loaded, frozen, adapted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from avcap.checkpoints.hugging_face import Source, fetch, make_config, read_config
from avcap.checkpoints.source import no_model, pretrained_config
from avcap.decoders.quantized import Bits, keep_differentiable, quantized_settings
from avcap.layers.lora import LoRA, add_lora, lora_dropouts

if TYPE_CHECKING:
    from transformers import GenerationConfig, GenerationMixin, PreTrainedModel

    class LanguageModel(PreTrainedModel, GenerationMixin):
        """A causal language model of transformers, with what its base classes leave untyped."""

        generation_config: GenerationConfig

        def get_input_embeddings(self) -> nn.Embedding:
            """Return the word embeddings ``[V, C]``."""

        def get_output_embeddings(self) -> nn.Linear:
            """Return the head."""


IGNORED = -100  # label of a position that is not learned

logger = logging.getLogger(__name__)


def load_language_model(
    source: Source, *, config: Any, dtype: torch.dtype | str, attention: str, bits: Bits | None = None
) -> LanguageModel:
    """Load a pretrained model on torch's default device, its linear layers quantized if ``bits`` says so.

    Raises:
        FileNotFoundError: if there is no such model.
    """
    from transformers import AutoModelForCausalLM

    try:
        more = {} if bits is None else quantized_settings(bits)
        model = fetch(AutoModelForCausalLM, source, config=config, dtype=dtype, attn_implementation=attention, **more)
    except OSError as error:
        raise FileNotFoundError(no_model(source)) from error
    keep_differentiable(model)
    logger.info("Loaded %s (%s)", source.name, source.gguf_file or "pretrained weights")
    return model


def load_into(config: Any, source: Source, *, dtype: torch.dtype | str, attention: str) -> LanguageModel:
    """Load a pretrained model of the architecture in ``config``, and resize its vocabulary to match.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it has another architecture, or a larger vocabulary.
    """
    own = pretrained_config(source)
    for name in ("model_type", "hidden_size", "num_hidden_layers"):
        if getattr(own, name) != getattr(config, name):
            raise ValueError(
                f"{source.name} has {name} {getattr(own, name)} and decoder.config {getattr(config, name)}; "
                "make its text_config that of the language model."
            )
    if own.vocab_size > config.vocab_size:
        raise ValueError(
            f"{source.name} has {own.vocab_size} tokens and decoder.config {config.vocab_size}; raise its vocab_size."
        )
    model = load_language_model(source, config=own, dtype=dtype, attention=attention)
    if own.vocab_size < config.vocab_size:
        model.resize_token_embeddings(config.vocab_size)
    return model


def build_language_model(
    config: Path | Mapping[str, Any] | None,
    source: Source | None,
    *,
    vocabulary: Callable[[], int],
    dtype: torch.dtype | str,
    attention: str,
) -> LanguageModel:
    """Build a model without pretrained weights: empty if ``source`` will load them later, else random.

    Args:
        config: A Hugging Face configuration, as a file or a mapping; None: the one of ``source``, which is then read.
        source: Where the pretrained weights are, if any.
        vocabulary: Returns the number of tokens if the configuration lacks it.
        dtype: Number format; "auto" is float32.
        attention: Attention implementation of transformers.

    Raises:
        ValueError: if there is neither a configuration nor a source.
    """
    if config is None:
        if source is None:
            raise ValueError("No language model: set decoder.model (pretrained) or decoder.config (random weights).")
        parsed = pretrained_config(source)
    else:
        settings = read_config(config)
        if "vocab_size" not in settings:
            settings["vocab_size"] = vocabulary()
        parsed = make_config(settings)
    if source is None:
        return random_language_model(parsed, dtype=dtype, attention=attention)
    with torch.device("meta"):
        return random_language_model(parsed, dtype=dtype, attention=attention)


def random_language_model(config: Any, *, dtype: torch.dtype | str, attention: str) -> LanguageModel:
    """Build a model with random weights on the default device (or the meta device)."""
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if dtype == "auto" else dtype
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention, trust_remote_code=False)


def adapt(model: LanguageModel, *, frozen: bool, lora: LoRA | None, gradient_checkpointing: bool) -> LanguageModel:
    """Freeze, add adapters, set up recomputation, and drop the model's own decoding settings; in place.

    With ``lora`` the adapters are all that is trained, in float32 whatever the model's number format is.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()
    if frozen:
        model.requires_grad_(False)
    if lora is not None:
        add_lora(model, lora)
        for parameter in model.parameters():
            if parameter.requires_grad:  # small steps would vanish in 16 bits
                parameter.data = parameter.data.float()
    if gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def train_adapters_only(model: nn.Module, mode: bool) -> None:
    """Set ``model`` to evaluation mode, but the dropout of its adapters to ``mode``."""
    for module in model.modules():
        # a layer that is recomputed looks at its own flag, and has no other use for it
        module.training = mode and getattr(module, "gradient_checkpointing", False)
    for dropout in lora_dropouts(model):
        dropout.training = mode


def positions(mask: Tensor) -> Tensor:
    """Return positions ``[B, S]`` that count only the real entries of ``mask [B, S]``."""
    return (mask.cumsum(1) - 1).clamp_min(0)


def predict(model: nn.Module, embeds: Tensor, mask: Tensor | None, *, last: int) -> Tensor:
    """Compute logits ``[B, last, V]`` of the last positions of the input embeddings ``[B, S, C]``.

    ``mask`` ``[B, S]`` is True where the input is real; None: everywhere, as on the meta device.
    """
    with shapes_only(model) if embeds.is_meta else nullcontext():
        logits = model(inputs_embeds=embeds, use_cache=False, logits_to_keep=last, **_places(mask)).logits
    return logits[:, -last:]  # some architectures (OPT) keep them all


def has_plain_head(model: LanguageModel) -> bool:
    """Return whether the logits are the last states times the head, and nothing else."""
    return model.config.model_type in ("llama", "mistral", "qwen2", "qwen3")


def recomputed_cross_entropy(
    model: LanguageModel, embeds: Tensor, mask: Tensor | None, labels: Tensor, *, smoothing: float, rows: int = 256
) -> Tensor:
    """Compute the cross-entropy of the last positions, averaged, without keeping their logits for the backward pass.

    Only so many ``rows`` of logits are in memory at a time. Loss and gradients are those of :func:`predict` and a plain
    cross-entropy; the head runs twice.

    Args:
        model: One with a plain head (:func:`has_plain_head`).
        embeds: As for :func:`predict`.
        mask: As for :func:`predict`.
        labels: What the last positions predict ``[B, L]``, :data:`IGNORED` where nothing.
        smoothing: Label smoothing.
        rows: Positions at a time.
    """
    with shapes_only(model) if embeds.is_meta else nullcontext():
        states = model.get_decoder()(inputs_embeds=embeds, use_cache=False, **_places(mask)).last_hidden_state
    states = states[:, -labels.shape[1] :].flatten(0, 1)  # [B * L, C]
    labels = labels.flatten()

    def part(states: Tensor, labels: Tensor) -> Tensor:
        logits = model.get_output_embeddings()(states).float()  # [rows, V]
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum")

    pairs = zip(states.split(rows), labels.split(rows), strict=True)
    total = torch.stack([checkpoint(part, *pair, use_reentrant=False) for pair in pairs]).sum()
    return total / (labels != IGNORED).sum()


def _places(mask: Tensor | None) -> dict[str, Tensor]:
    return {} if mask is None else {"attention_mask": mask, "position_ids": positions(mask)}


@contextmanager
def shapes_only(model: nn.Module) -> Iterator[None]:
    """Return stand-ins for the rotary positions, which transformers cannot compute on the meta device."""
    rotary = []
    for module in model.modules():
        frequencies = getattr(module, "inv_freq", None)
        if isinstance(frequencies, Tensor):
            module.forward = partial(_rotary_shapes, 2 * frequencies.numel())
            rotary.append(module)
    try:
        yield
    finally:
        for module in rotary:
            del module.forward  # the method of the class shows again


def _rotary_shapes(width: int, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*position_ids.shape, width)
    return x.new_empty(shape), x.new_empty(shape)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode inside the context, and restore the former mode afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
