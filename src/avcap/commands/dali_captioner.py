"""``avcap dali captioner``: the parts of a trained image captioner as one LLaVA folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from avcap.checkpoints.llava import PartNames
    from avcap.decoders import LlavaDecoder
    from avcap.encoders import LlavaVision
    from avcap.fusion import LlavaProjection
    from avcap.models import CaptionModel


class LlavaParts(NamedTuple):
    """The parts of a captioner that make a LLaVA."""

    visual_encoder: LlavaVision
    fusion: LlavaProjection
    decoder: LlavaDecoder

    @classmethod
    def of(cls, model: CaptionModel, ckpt: Path) -> LlavaParts:
        """Take the parts of the captioner of a checkpoint.

        Raises:
            ValueError: if one of them is of another class.
        """
        from avcap.decoders import LlavaDecoder
        from avcap.encoders import LlavaVision
        from avcap.fusion import LlavaProjection

        parts = [getattr(model, name) for name in cls._fields]
        for name, part, kind in zip(cls._fields, parts, (LlavaVision, LlavaProjection, LlavaDecoder), strict=True):
            if not isinstance(part, kind):
                raise ValueError(
                    f"The {name} of {ckpt} is {type(part).__name__}, not {kind.__name__}; it makes no LLaVA."
                )
        return cls(*parts)

    @property
    def tower(self) -> Any:
        """The vision tower, a module of transformers."""
        return self.visual_encoder.backbone

    @property
    def lm(self) -> Any:
        """The language model, a module of transformers."""
        return self.decoder.lm


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
    from avcap.trained.files import load_captioner

    model, _ = load_captioner(ckpt)
    parts = LlavaParts.of(model, ckpt)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        write_llava(parts, partial)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"wrote {out}")


def write_llava(parts: LlavaParts, folder: Path) -> None:
    """Write three parts to ``folder`` as one model."""
    from transformers import GenerationConfig, LlavaForConditionalGeneration

    special = parts.decoder.codec.special
    ends = special.eos[0] if len(special.eos) == 1 else list(special.eos)
    ids = {"bos_token_id": special.bos, "eos_token_id": ends}
    whole, info = LlavaForConditionalGeneration.from_pretrained(
        None, config=_config(parts, ids), state_dict=_state(parts), dtype=parts.lm.dtype, output_loading_info=True
    )
    if left := [*info["missing_keys"], *info["unexpected_keys"]]:
        raise ValueError(f"The parts do not make a complete LLaVA: {len(left)} weights do not fit (first: {left[0]}).")
    whole.generation_config = GenerationConfig(**ids, pad_token_id=special.pad)
    whole.save_pretrained(folder)
    _processor(parts).save_pretrained(folder)


def _config(parts: LlavaParts, ids: dict[str, Any]) -> Any:
    """Return the configuration of the whole model, which reads the last of the layers that were built."""
    from transformers import LlavaConfig

    from avcap.checkpoints.llava import IMAGE_TOKEN

    vision, decoder = parts.visual_encoder, parts.decoder
    text = {**parts.lm.config.to_dict(), **ids}
    patches = (vision.normalise.image_size // parts.tower.config.patch_size) ** 2
    return LlavaConfig(
        vision_config=parts.tower.config.to_dict(),
        text_config=text,
        image_token_index=decoder.codec.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=-1,
        vision_feature_select_strategy=vision.select,
        image_seq_length=patches + (vision.select == "full"),
        projector_hidden_act=parts.fusion.config.projector_hidden_act,
        multimodal_projector_bias=parts.fusion.config.multimodal_projector_bias,
        tie_word_embeddings=parts.lm.config.tie_word_embeddings,
    )


def _state(parts: LlavaParts) -> dict[str, Tensor]:
    """Return the weights under the names of the whole model, with an identity for the tower's final norm, which nothing reads."""
    from avcap.checkpoints.llava import LANGUAGE, PROJECTOR, VISION

    width = parts.visual_encoder.width
    norm = {"weight": torch.ones(width), "bias": torch.zeros(width)}
    named: list[tuple[PartNames, dict[str, Tensor]]] = [
        (
            VISION,
            {**parts.tower.state_dict(), **{f"vision_model.post_layernorm.{leaf}": x for leaf, x in norm.items()}},
        ),
        (PROJECTOR, parts.fusion.image_projector.state_dict()),
        (LANGUAGE, parts.lm.state_dict()),
    ]
    return {next(iter(names)) + name: tensor for names, state in named for name, tensor in state.items()}


def _processor(parts: LlavaParts) -> Any:
    """Build the processor: tokenizer, image processor and chat template as the three parts use them."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    vision, decoder = parts.visual_encoder, parts.decoder
    size = vision.normalise.image_size
    tokenizer = decoder.codec.tokenizer
    tokenizer.model_input_names = ["input_ids", "attention_mask"]  # a language model takes no token types
    return LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}),
        tokenizer,
        patch_size=parts.tower.config.patch_size,
        vision_feature_select_strategy=vision.select,
        chat_template=chat_template(decoder.template),
        num_additional_image_tokens=1,  # the class token
    )


def chat_template(template: str) -> str:
    r"""Convert the prompt template of a decoder, the assistant's role at its end, to a Hugging Face chat template in Jinja.

    Example:
        >>> print(chat_template("USER: {tokens} ASSISTANT:").splitlines()[2])
        {{- "USER: " -}}
    """
    from avcap.checkpoints.llava import IMAGE_TOKEN
    from avcap.decoders.prompts import PROMPT, TOKENS

    contents = {TOKENS: _contents("image", f'"{IMAGE_TOKEN}"'), PROMPT: _contents("text", "item['text']")}
    pieces = [template]
    for placeholder in contents:
        pieces = [part for piece in pieces for part in _split(piece, placeholder)]
    turn = [contents.get(piece) or f"{{{{- {json.dumps(piece)} -}}}}" for piece in pieces]
    close = ("{%- else -%}", contents[PROMPT], "{{- eos_token -}}", "{%- endif -%}", "{%- endfor -%}")
    return "\n".join(["{%- for message in messages -%}", "{%- if message['role'] == 'user' -%}", *turn, *close])


def _split(text: str, placeholder: str) -> list[str]:
    before, found, after = text.partition(placeholder)
    return [piece for piece in (before, found, after) if piece]


def _contents(kind: str, shown: str) -> str:
    return f"{{%- for item in message['content'] if item['type'] == '{kind}' -%}}{{{{- {shown} -}}}}{{%- endfor -%}}"
