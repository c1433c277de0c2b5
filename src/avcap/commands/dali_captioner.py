"""``avcap dali captioner``: the parts of a trained image captioner as one LLaVA folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avcap.checkpoints.llava import IMAGE_TOKEN, LANGUAGE, PROJECTOR, VISION, PartNames
from avcap.decoders import LlavaDecoder
from avcap.decoders.prompts import PROMPT, TOKENS
from avcap.encoders import LlavaVision
from avcap.fusion import LlavaProjection
from avcap.systems import Captioner
from avcap.trained.files import load_captioner

PARTS = {"visual_encoder": LlavaVision, "fusion": LlavaProjection, "decoder": LlavaDecoder}


def write_captioner(ckpt: Path, out: Path) -> None:
    """Write the vision tower, the image projector and the language model of a checkpoint as a LLaVA model.

    The folder is in Hugging Face's format, with tokenizer, image processor and chat template, so that transformers'
    LlavaForConditionalGeneration reads it as well as `model:` of LlavaVision, LlavaProjection and LlavaDecoder. An audio
    projector and a prefix are no part of it (`avcap weights part`). Vision layers that the captioner does not read are left out.

    Args:
        ckpt: Checkpoint of a captioner made of LlavaVision, LlavaProjection and LlavaDecoder.
        out: The folder to write; it must not exist.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        FileExistsError: if the folder exists.
        ValueError: if the checkpoint holds other parts.
    """
    if out.exists():
        raise FileExistsError(f"{out} is already there; remove it or name another folder.")
    model, _ = load_captioner(ckpt)
    for name, kind in PARTS.items():
        part = getattr(model, name)
        if not isinstance(part, kind):
            raise ValueError(f"The {name} of {ckpt} is {type(part).__name__}, not {kind.__name__}; it makes no LLaVA.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        write_llava(model, partial)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"wrote {out}")


def write_llava(model: Captioner, folder: Path) -> None:
    """Write the three parts of ``model`` to ``folder``."""
    from transformers import GenerationConfig, LlavaForConditionalGeneration

    decoder, special = model.decoder, model.decoder.codec.special
    ends = special.eos[0] if len(special.eos) == 1 else list(special.eos)
    ids = {"bos_token_id": special.bos, "eos_token_id": ends}
    whole, info = LlavaForConditionalGeneration.from_pretrained(
        None,
        config=_config(model, ids),
        state_dict=_state(model),
        dtype=decoder.lm.dtype,
        output_loading_info=True,
    )
    if left := [*info["missing_keys"], *info["unexpected_keys"]]:
        raise ValueError(f"The parts do not make a complete LLaVA: {len(left)} weights do not fit (first: {left[0]}).")
    whole.generation_config = GenerationConfig(**ids, pad_token_id=special.pad)
    whole.save_pretrained(folder)
    _processor(model).save_pretrained(folder)


def _config(model: Captioner, ids: dict[str, Any]) -> Any:
    """Return the configuration of the whole model, which reads the last of the layers that were built."""
    from transformers import LlavaConfig

    vision, decoder = model.visual_encoder, model.decoder
    text = {**decoder.lm.config.to_dict(), **ids}
    patches = (vision.normalise.image_size // vision.backbone.config.patch_size) ** 2
    return LlavaConfig(
        vision_config=vision.backbone.config.to_dict(),
        text_config=text,
        image_token_index=decoder.codec.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=-1,
        vision_feature_select_strategy=vision.select,
        image_seq_length=patches + (vision.select == "full"),
        projector_hidden_act=model.fusion.config.projector_hidden_act,
        multimodal_projector_bias=model.fusion.config.multimodal_projector_bias,
        tie_word_embeddings=decoder.lm.config.tie_word_embeddings,
    )


def _state(model: Captioner) -> dict[str, Tensor]:
    """Return the weights under the names of the whole model, with an identity for the tower's final norm, which nothing reads."""
    tower, width = model.visual_encoder.backbone, model.visual_encoder.width
    norm = {"weight": torch.ones(width), "bias": torch.zeros(width)}
    named: list[tuple[PartNames, dict[str, Tensor]]] = [
        (VISION, {**tower.state_dict(), **{f"vision_model.post_layernorm.{leaf}": x for leaf, x in norm.items()}}),
        (PROJECTOR, model.fusion.image_projector.state_dict()),
        (LANGUAGE, model.decoder.lm.state_dict()),
    ]
    return {next(iter(names)) + name: tensor for names, state in named for name, tensor in state.items()}


def _processor(model: Captioner) -> Any:
    """Build the processor: tokenizer, image processor and chat template as the three parts use them."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    vision, decoder = model.visual_encoder, model.decoder
    size = vision.normalise.image_size
    tokenizer = decoder.codec.tokenizer
    tokenizer.model_input_names = ["input_ids", "attention_mask"]  # a language model takes no token types
    return LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}),
        tokenizer,
        patch_size=vision.backbone.config.patch_size,
        vision_feature_select_strategy=vision.select,
        chat_template=chat_template(decoder.template),
        num_additional_image_tokens=1,  # the class token
    )


def chat_template(template: str) -> str:
    r"""Convert the prompt template of a decoder to a Hugging Face chat template in Jinja.

    Args:
        template: Text with ``{tokens}`` and ``{prompt}``, the assistant's role at its end.

    Example:
        >>> print(chat_template("USER: {tokens} ASSISTANT:").splitlines()[2])
        {{- "USER: " -}}
    """
    pieces = [template]
    for placeholder in (TOKENS, PROMPT):
        pieces = [part for piece in pieces for part in _split(piece, placeholder)]
    turn = [_PLACEHOLDERS.get(piece) or f"{{{{- {json.dumps(piece)} -}}}}" for piece in pieces]
    return "\n".join([*_OPEN, *turn, *_CLOSE])


def _split(text: str, placeholder: str) -> list[str]:
    before, found, after = text.partition(placeholder)
    return [piece for piece in (before, found, after) if piece]


def _contents(kind: str, shown: str) -> str:
    return f"{{%- for item in message['content'] if item['type'] == '{kind}' -%}}{{{{- {shown} -}}}}{{%- endfor -%}}"


_PLACEHOLDERS = {TOKENS: _contents("image", f'"{IMAGE_TOKEN}"'), PROMPT: _contents("text", "item['text']")}
_OPEN = ("{%- for message in messages -%}", "{%- if message['role'] == 'user' -%}")
_CLOSE = ("{%- else -%}", _PLACEHOLDERS[PROMPT], "{{- eos_token -}}", "{%- endif -%}", "{%- endfor -%}")
