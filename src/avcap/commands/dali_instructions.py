"""``avcap dali instructions``: captions of images, and what a language model answers about them, to train an image captioner."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from avcap import __version__
from avcap.captions.rows import CaptionRows, write_caption_rows
from avcap.shards.reader import Shards

if TYPE_CHECKING:
    from avcap.systems import LanguageModelling
    from avcap.types import Generation

TASK = "hear"


def instructions(
    *,
    language_model: str = "runs/dali/language/lm",
    shards: Path = Path("data/demo/stills"),
    split: str = "train",
    out: Path = Path("runs/dali/instructions.jsonl"),
    prompt: str | None = None,
    temperature: float = 1.0,
    top_k: int = 50,
    batch_size: int = 256,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write image captions, and what a language model answers to an instruction when it reads one in the place of its image.

    Each caption of the shards gives two rows: the caption itself, for the image captioner's own instruction, and the answer,
    with the instruction as `prompt`. So an image captioner learns to follow both, as LLaVA did, though nobody heard
    the images. A file that was made of the same model, shards and settings is kept.

    Args:
        language_model: Folder or hub name of the language model: that of configs/dali/0a_language.yaml.
        shards: Folder of shards whose captions are of images, with one folder a split.
        split: The split.
        out: The JSON lines to write, for `captions` of the data module.
        prompt: The instruction that is answered; null: "Describe the sound that can be heard in this scene."
        temperature: Of the draw: lower makes likely answers likelier.
        top_k: Draw each token from the ``top_k`` most likely ones; 0: from all.
        batch_size: Captions that are read at once; another number draws other answers.
        seed: Seed of the draw.
        overwrite: Replace an existing file.

    Raises:
        FileNotFoundError: if there is no such model, or there are no shards.
        ValueError: if the file was made otherwise and `overwrite` is off, or a number is out of range.
    """
    if temperature <= 0 or top_k < 0 or batch_size < 1:
        raise ValueError(
            f"temperature must be positive, top_k at least 0, batch_size at least 1, got {temperature}, {top_k}, {batch_size}."
        )
    from avcap.decoders.llava import SOUND_PROMPT
    from avcap.lightning_cli import quieten
    from avcap.weights.reading import fingerprints

    quieten()
    prompt = prompt or SOUND_PROMPT
    clips = Shards(shards / split)
    generation: Generation = {"num_beams": 1, "do_sample": True, "temperature": temperature, "top_k": top_k}
    provenance = {
        "split": split,
        "shards": str(shards),
        "plan": clips.info.plan,
        "language_model": language_model,
        "files": fingerprints(language_model),
        "prompt": prompt,
        "generation": generation,
        "batch_size": batch_size,
        "seed": seed,
        "avcap": __version__,
    }
    if out.exists() and not overwrite:
        _require_same(out, provenance)
        print(f"{out} was made before and is kept")
        return
    seen = [
        (clip, text) for clip, texts in zip(clips.ids, clips.captions(range(len(clips))), strict=True) for text in texts
    ]
    if not seen:
        raise ValueError(f"The clips in {clips.folder} have no captions; name shards of captioned images.")
    answers = draw_answers(
        _model(language_model, prompt),
        [text for _, text in seen],
        task=TASK,
        generation=generation,
        batch_size=batch_size,
        seed=seed,
        progress=True,
    )
    rows = []
    for (clip, text), answer in zip(seen, answers, strict=True):
        rows += [{"id": clip, "caption": text}, {"id": clip, "prompt": prompt, "caption": answer}]
    write_caption_rows(out, rows, provenance=provenance)
    print(f"{len(seen):,} captions and as many answers: {out}")


def draw_answers(
    model: LanguageModelling,
    captions: Sequence[str],
    *,
    task: str,
    generation: Generation,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> list[str]:
    """Generate one answer per caption as LLaVA's training texts were made: a language model reads the caption, not the image.

    Captions of like length are read together. Each batch is drawn by a seed of its own, so that an answer depends on
    nothing outside its batch; where nothing was said, the likeliest answer is taken. (Liu et al., NeurIPS 2023, section 3.)

    Raises:
        ValueError: if the model has nothing to say to a caption.
    """
    from tqdm import tqdm

    order = sorted(range(len(captions)), key=lambda place: len(captions[place]))
    answers = [""] * len(captions)
    with torch.random.fork_rng(), tqdm(total=len(captions), unit="answer", disable=not progress) as bar:
        for first in range(0, len(order), batch_size):
            places = order[first : first + batch_size]
            torch.manual_seed(random.Random(f"{seed}/answers/{first}").getrandbits(63))
            drawn = _ask(model, [captions[place] for place in places], task, generation)
            for place, answer in zip(places, drawn, strict=True):
                answers[place] = answer
            bar.update(len(places))
    if silent := [place for place, answer in enumerate(answers) if not answer]:
        likeliest = _ask(model, [captions[place] for place in silent], task, {"do_sample": False})
        for place, answer in zip(silent, likeliest, strict=True):
            if not answer:
                raise ValueError(f"The language model has no answer to {captions[place]!r}; train it for longer.")
            answers[place] = answer
    return answers


def _ask(model: LanguageModelling, captions: list[str], task: str, generation: Generation) -> list[str]:
    asked = {"prompt_text": captions, "task": [task] * len(captions), "text": [""] * len(captions)}
    return model(asked, **generation)


def _require_same(out: Path, provenance: dict[str, Any]) -> None:
    """Raise if a file was not made with the settings of ``provenance``."""
    found = CaptionRows.read(out).provenance
    wanted = json.loads(json.dumps(provenance))
    if other := [name for name, value in wanted.items() if found.get(name) != value]:
        raise ValueError(
            f"{out} was made otherwise ({', '.join(other)}); add --overwrite to replace it, or choose another --out."
        )


def _model(name: str, prompt: str) -> LanguageModelling:
    """Load the language model with its one instruction, onto the GPU if there is one."""
    from avcap.checkpoints.source import find_source, pretrained_config
    from avcap.decoders import LlavaDecoder
    from avcap.systems import LanguageModelling

    text = pretrained_config(find_source(name)).to_dict()
    llava = {"model_type": "llava", "vision_config": {}, "text_config": text}  # the vision tower is not built
    decoder = LlavaDecoder(text["hidden_size"], config=llava, language_model=name, attention="eager")
    decoder.load_pretrained()
    model = LanguageModelling(decoder, prompts={TASK: prompt})
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
