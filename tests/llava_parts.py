"""A small LLaVA with random weights, as a folder, and captioners made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avcap.decoders import LlavaDecoder
from avcap.encoders import LlavaVision
from avcap.fusion import LlavaProjection
from avcap.scenes.tokenizer import train_tokenizer
from avcap.systems import Captioner

CAPTIONS = ["a dog barks while rain falls", "a bell rings", "an engine idles and then a siren wails far away"]
IMAGE, VISION_WIDTH, WIDTH, PATCHES = 16, 24, 32, 4
PROMPT = "Describe the sound that can be heard in this scene."


def vision_settings() -> dict[str, Any]:
    sizes = {"image_size": IMAGE, "patch_size": 8, "hidden_size": VISION_WIDTH, "intermediate_size": 48}
    spread = {"initializer_range": 0.5, "initializer_factor": 5.0}  # far from uniform, so that every mistake shows
    return {"model_type": "clip_vision_model", "num_hidden_layers": 3, "num_attention_heads": 2, **sizes, **spread}


def text_settings() -> dict[str, Any]:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "initializer_range": 0.3}
    return {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, **sizes}


def settings(**more: Any) -> dict[str, Any]:
    """A ``LlavaConfig`` without a vocabulary."""
    parts = {"vision_config": vision_settings(), "text_config": text_settings()}
    return {"model_type": "llava", "initializer_range": 0.3, **parts, **more}


def save_tokenizer(folder: Path) -> Any:
    """A tokenizer that begins every text with ``<s>`` and knows ``<image>``, like LLaVA-1.5's."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    train_tokenizer(folder, CAPTIONS * 3, vocab_size=320)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    opening = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)])
    tokenizer.backend_tokenizer.post_processor = opening
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_llava(folder: Path, **more: Any) -> Path:
    """A whole LLaVA of random weights with its tokenizer, whose captions differ from picture to picture and end.

    Args:
        folder: Where to write.
        **more: Arguments of ``save_pretrained``.
    """
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    tokenizer = save_tokenizer(folder)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    whole = settings()
    whole["text_config"] |= {"vocab_size": len(tokenizer), "tie_word_embeddings": False, **ids}
    del whole["model_type"]
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(LlavaConfig(image_token_index=len(tokenizer) - 1, **whole))
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 2
    model.save_pretrained(folder, **more)
    return folder


def frames(clips: int = 6, each: int = 1) -> Tensor:
    """Pictures ``[B, N, 3, H, W]`` uint8."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (clips, each, 3, IMAGE, IMAGE), generator=generator, dtype=torch.uint8)


def captioner(
    model: Path, *, projection: dict | None = None, decoder: dict | None = None, audio: Any = None
) -> Captioner:
    """A captioner of the three parts of the folder ``model``, its weights read."""
    source = {"model": str(model)}
    settings = {"generation": {"max_new_tokens": 24}, **source, **(decoder or {})}
    whole = Captioner(
        audio,
        LlavaVision(**source),
        lambda a, v: LlavaProjection(a, v, **source, **(projection or {})),
        lambda width: LlavaDecoder(width, **settings),
    )
    whole.configure_model()
    return whole.eval()


@torch.no_grad()
def reference(model: Path, images: Tensor, *, prompt: str = PROMPT, **generation: Any) -> Tensor:
    """New ids ``[B, L]`` by transformers' own LLaVA and its own processor."""
    from transformers import AutoTokenizer, CLIPImageProcessor, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = AutoTokenizer.from_pretrained(model)
    pictures = CLIPImageProcessor(size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE})
    strategy = {"vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = LlavaProcessor(pictures, tokenizer, patch_size=8, **strategy)
    inputs = processor(
        images=[image[0].permute(1, 2, 0).numpy() for image in images],
        text=[f"USER: <image>\n{prompt} ASSISTANT:"] * len(images),
        return_tensors="pt",
    )
    whole = LlavaForConditionalGeneration.from_pretrained(model).eval()
    found = whole.generate(**inputs, max_new_tokens=24, pad_token_id=tokenizer.pad_token_id, **generation)
    return found[:, inputs["input_ids"].shape[1] :]
