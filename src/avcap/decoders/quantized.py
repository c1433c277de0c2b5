"""A frozen language model in 4 or 8 bits, by bitsandbytes."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any, Literal, cast

import torch
from torch import nn

from avcap.checkpoints.hugging_face import Source

BITS: dict[str, int] = {"nf4": 4, "int8": 8}
BLOCK = 64  # weights of NF4 that share a scale

Bits = Literal["nf4", "int8"]


def quantized_format(dtype: str, source: Source | None, *, frozen: bool) -> Bits | None:
    """Return ``dtype`` if it names a quantized format, None otherwise.

    Raises:
        ValueError: if the model is trained, or there are no weights of it that can be quantized.
        ImportError: if bitsandbytes is not installed.
    """
    if dtype not in BITS:
        return None
    if not frozen:
        raise ValueError(
            f"decoder.dtype: {dtype} is for a frozen language model; set decoder.frozen: true or add lora."
        )
    if source is None or source.gguf_file is not None:
        raise ValueError(
            f"decoder.dtype: {dtype} quantizes the weights of a safetensors folder or a hub name; name one in decoder.model."
        )
    if find_spec("bitsandbytes") is None:
        raise ImportError(f"decoder.dtype: {dtype} needs bitsandbytes; run `pip install 'avcap[quantized]'`.")
    return cast("Bits", dtype)


def quantized_settings(bits: Bits) -> dict[str, Any]:
    """Return arguments of ``from_pretrained`` that quantize a model while it is read, on torch's default device.

    NF4 (Dettmers et al., NeurIPS 2023) computes in bfloat16; ``int8`` is LLM.int8() (Dettmers et al., NeurIPS 2022).
    """
    from transformers import BitsAndBytesConfig

    # it tells in each product of matrices that a bfloat16 input is converted
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    config = (
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        if bits == "nf4"
        else BitsAndBytesConfig(load_in_8bit=True)
    )
    return {"quantization_config": config, "device_map": {"": torch.get_default_device()}}


def keep_differentiable(model: nn.Module) -> None:
    """Keep the 4-bit layers of a model from packing their weights for a CPU.

    Those of a frozen model do so in evaluation mode, in which it always is, and a product with packed weights has no gradient.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def take_scales_along(model: nn.Module) -> None:
    """Move the scales of 8-bit layers to the device of their weights; ``Module.to`` of a model around them leaves them behind."""
    for layer in model.modules():
        state: Any = getattr(layer, "state", None)
        if hasattr(state, "SCB"):  # of a Linear8bitLt
            weight: Any = layer.weight
            for holder in (weight, state):  # in the one before the first use, and then in the other
                if getattr(holder, "SCB", None) is not None:
                    holder.SCB, holder.CB = holder.SCB.to(weight.device), weight.data


def bytes_spared(model: Any, bits: Bits) -> int:
    """Return how many bytes fewer the linear layers take in ``bits`` than they take in ``model``; the head is not quantized."""
    spared = 0
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings():
            weight = layer.weight
            if not weight.requires_grad:
                scales = weight.numel() // BLOCK if bits == "nf4" else len(weight)  # float32
                spared += weight.numel() * weight.element_size() - weight.numel() * BITS[bits] // 8 - 4 * scales
    return spared
