"""The entrances of the package: what a file is made of, who reads it, and what must come out."""

from __future__ import annotations

import atexit
import contextlib
import io
import math
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from avcap.captions import read_captions
from avcap.captions.rows import CaptionRows
from avcap.checkpoints.loading import load_weights as load
from avcap.cli import main, run
from avcap.commands.score import read_references
from avcap.commands.weights import import_, part
from avcap.drill.material import CONFIG
from avcap.lightning_cli import build_cli
from avcap.metrics.predictions import read_predictions
from avcap.scenes.dataset import build_dataset
from avcap.shards.manifest import Clip
from avcap.shards.prepare import prepare
from avcap.shards.reader import Shards
from avcap.shards.reading import clip_of, read_item
from avcap.study.ablation.matrix import read_matrix
from avcap.trained.files import FileCaptioner
from tests.fuzz import inputs
from tests.fuzz.inputs import Captions, damage, damaged, retyped
from tests.media_files import grey_ramp, tone, write_csv, write_media

Read = Callable[[Path, Any], object]


@dataclass(frozen=True)
class Entrance:
    """One way into the package.

    Attributes:
        files: Gives the bytes of a file, and what it holds (None: unknown).
        name: Of the file; ``{}`` in it is replaced by a suffix that ``files`` gives as the third value.
        read: Reads it; with what it holds, raises AssertionError if something else comes out.
        share: How many of all inputs, in parts.
    """

    files: st.SearchStrategy[tuple[bytes, Any]]
    name: str
    read: Read
    share: float
    named: bool = True  # whether a sentence must name the file: a wrong option names the option


def mixed(good: st.SearchStrategy, *, json: bool = False, lines: bool = False) -> st.SearchStrategy:
    """Well-formed files, damaged ones, and (of JSON) those with a value of another type."""
    return st.one_of(good, damaged(good), *([retyped(good, lines=lines)] if json else []))


def same(found: Captions, wanted: Captions | None) -> None:
    """Compare captions by clip; a reader may trim them."""
    if wanted is not None:
        got = {name: [inputs.plain(text) for text in texts] for name, texts in found.items()}
        right = {name: [inputs.plain(text) for text in texts] for name, texts in wanted.items()}
        assert got == right, f"read {got}, not {right}"


# -- captions ---------------------------------------------------------------------------------------------------------


def captions(path: Path, wanted: Captions | None) -> None:

    entries = read_captions(path)
    ids = {entry.id: entry.captions for entry in entries}
    found = {entry.file or entry.id: entry.captions for entry in entries}
    assert len(found) == len(entries), f"two entries are of one clip: {[entry.id for entry in entries]}"
    assert all(isinstance(text, str) and text.strip() for texts in found.values() for text in texts), found
    same(ids if wanted is not None and ids.keys() == wanted.keys() else found, wanted)


def caption_rows(path: Path, wanted: Captions | None) -> None:

    found: Captions = {}
    for row in CaptionRows.read(path).rows:
        found.setdefault(row.id, []).append(row.caption)
    same(found, wanted)


def predictions(path: Path, wanted: Captions | None) -> None:

    same(dict(read_predictions(path)), wanted)


def references(path: Path, wanted: Captions | None) -> None:

    same(read_references(path).captions, wanted)


def prepared(path: Path, wanted: Any) -> None:
    """Prepare a CSV of odd names beside media of those names, and read the shards."""

    for name in wanted or ():
        place = path.parent / "media" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(media_files()["wav"])
    (path.parent / "media").mkdir(exist_ok=True)
    report = prepare(
        path.parent, path.parent / "shards", media=path.parent / "media", frames=0, num_workers=0, progress=False
    )
    if wanted is not None:
        shards = Shards(path.parent / "shards" / "train")
        got = [[inputs.plain(text) for text in shards.meta(index)["captions"]] for index in range(len(shards))]
        assert got == [[inputs.plain(text) for text in texts] for texts in wanted.values()], f"{got} of {wanted}"
        assert not report.splits[0].missing, report.splits[0].missing


@st.composite
def hostile_csv(draw: st.DrawFn) -> tuple[bytes, None]:
    """A CSV whose names lead out of the folder, or are no names."""
    content, _ = draw(inputs.file_csv())
    header, _, rest = content.partition(b"\r\n")
    line = f'"{draw(inputs.hostile_names)}",{draw(st.sampled_from(["a dog barks", ""]))}\r\n'
    return header + b"\r\n" + line.encode() + rest, None


# -- media ------------------------------------------------------------------------------------------------------------


VIDEOS = {"mp4": "aac", "mkv": "aac", "mov": "aac", "avi": "mp3"}  # suffix -> codec of the sound
SOUNDS = {"wav": "pcm_s16le", "flac": "flac", "ogg": "libvorbis", "opus": "libopus", "mp3": "mp3", "m4a": "aac"}
IMAGES = ("png", "jpg", "webp", "bmp")


@cache
def media_files() -> dict[str, bytes]:
    """A small file of each kind, by suffix: a tone, and pictures that grow brighter."""

    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix, codec in {**VIDEOS, **SOUNDS}.items():
            rate = 48_000 if codec == "libopus" else 16_000
            pictures = grey_ramp(3, 32, 32) if suffix in VIDEOS else None
            with contextlib.suppress(Exception):  # an encoder that this FFmpeg lacks
                path = write_media(
                    folder / f"x.{suffix}", wave=tone(0.4, rate), rate=rate, codec=codec, pictures=pictures
                )
                found[suffix] = path.read_bytes()
        for suffix in (*IMAGES, "gif", "tif"):
            Image.fromarray(grey_ramp(1, 24, 24)[0]).save(folder / f"x.{suffix}")
            found[suffix] = (folder / f"x.{suffix}").read_bytes()
    return found


@st.composite
def damaged_media(draw: st.DrawFn) -> tuple[bytes, str | None, str]:
    suffix = draw(st.sampled_from(sorted(media_files())))
    content = media_files()[suffix]
    blows = draw(st.lists(inputs.blow, max_size=4))
    if not blows:
        return content, suffix, suffix
    if draw(st.booleans()):  # the head, where the fields are
        head = min(len(content), 200)
        content = damage(content[:head], blows) + content[head:]
    else:
        content = damage(content, blows)
    return content, None, draw(st.sampled_from([suffix, suffix, suffix, "mp4", "wav", "png"]))


def media(path: Path, wanted: str | None) -> None:

    item = read_item(clip_of(path), frames=2, size=32)
    for stream in (item.waveform, item.frames):
        assert stream is None or bool(torch.isfinite(stream.float()).all()), "a sample is not finite"
    assert math.isnan(item.duration) or 0 <= item.duration < 1e6, f"{item.duration} s"
    if wanted in (*VIDEOS, *SOUNDS):
        assert item.waveform is not None
        assert 0.3 < len(item.waveform) / 16_000 < 1.0, f"{len(item.waveform)} samples"
    if wanted in (*VIDEOS, *IMAGES):
        assert item.frames is not None


@st.composite
def arrays(draw: st.DrawFn) -> tuple[bytes, None]:
    """Features: arrays of any type and shape, pickles among them, damaged or not."""
    kind = draw(st.sampled_from(["float32", "float16", "int64", "complex64", "object", "U3"]))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    array = np.full(shape, "abc") if kind == "U3" else np.ones(shape, dtype=kind)
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return damage(file.getvalue(), draw(st.lists(inputs.blow, max_size=2))), None


def features(path: Path, wanted: None) -> None:

    item = read_item(Clip("x", ("a dog",), None, (), path), frames=0, size=32)
    assert item.visual_features is not None
    assert item.visual_features.ndim == 2
    assert bool(torch.isfinite(item.visual_features).all()), "a feature is not finite"


# -- shards -----------------------------------------------------------------------------------------------------------


@cache
def shards_folder() -> Path:
    """Shards of three clips of sound."""

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, True)
    for name in "abc":
        (folder / f"{name}.wav").write_bytes(media_files()["wav"])
    write_csv(folder / "train.csv", ["file_name", "caption"], [[f"{name}.wav", f"the sound {name}"] for name in "abc"])
    prepare(folder, frames=0, num_workers=0, progress=False)
    return folder / "shards" / "train"


@st.composite
def damaged_shards(draw: st.DrawFn) -> tuple[bytes, None, str]:
    """One file of the shards, damaged or of another type; the suffix is its name."""
    file = draw(st.sampled_from(sorted(p for p in shards_folder().iterdir() if p.is_file())))
    whole = st.just((file.read_bytes(), None))
    if file.suffix == ".json" and draw(st.booleans()):
        return *draw(retyped(whole)), file.name
    if file.suffix == ".jsonl" and draw(st.booleans()):
        return *draw(retyped(whole, lines=True)), file.name
    return *draw(damaged(whole)), file.name


def shards(path: Path, wanted: None) -> None:
    """Lay the damaged file over whole shards and read all clips: as they were, or a sentence."""

    folder = path.parent / "train"
    shutil.copytree(shards_folder(), folder)
    shutil.move(path, folder / path.name)
    opened, right = Shards(folder), Shards(shards_folder())
    opened.captions(range(len(opened)))
    for index in range(len(opened)):
        opened.check(index)
        assert torch.equal(opened.item(index).waveform, right.item(index).waveform), f"another sound at {index}"


# -- checkpoints and weights ------------------------------------------------------------------------------------------


@cache
def checkpoint() -> dict[str, Any]:
    """A checkpoint of a tiny captioner, as `avcap fit` writes it."""

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build_dataset(root, train=4, val=2, test=1, seconds=2.0, num_workers=0)
        prepare(root, frames=2, size=32, num_workers=0, progress=False)
        words = ["fit", "--config", str(CONFIG), "--data.init_args.shards", str(root / "shards")]
        words += ["--model.init_args.decoder.init_args.tokenizer", str(root / "tokenizer")]
        words += [
            "--trainer.default_root_dir",
            str(root / "run"),
            "--trainer.max_steps",
            "1",
            "--trainer.logger",
            "false",
        ]
        words += ["--data.init_args.num_workers", "0", "--trainer.limit_val_batches", "1", "--trainer.devices", "1"]
        with contextlib.redirect_stdout(io.StringIO()):
            build_cli(words)
        (path,) = list((root / "run" / "checkpoints").glob("last.ckpt"))
        return torch.load(path, weights_only=True)


class Foreign:
    """A class that a pickle names; reading it calls the function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[bytes, None]:
    """A checkpoint with blows, keys gone, values of other types or foreign objects; or no checkpoint at all."""
    what = draw(st.sampled_from(["bytes", "tree", "tree", "tree", "foreign", "other"]))
    file = io.BytesIO()
    if what == "other":
        return draw(st.one_of(st.binary(max_size=40), st.just(b""), st.just(pickle.dumps(Foreign())))), None
    content: Any = checkpoint()
    if what == "tree":
        content = _change(draw, content)
    if what == "foreign":
        content = {**content, draw(st.sampled_from(["hyper_parameters", "state_dict", "callbacks", "x"])): Foreign()}
    torch.save(content, file)
    whole = file.getvalue()
    return damage(whole, draw(st.lists(inputs.blow, min_size=1, max_size=2))) if what == "bytes" else whole, None


def _change(draw: st.DrawFn, content: Any) -> Any:
    """Replace, delete or rename a random node; only the way down to it is copied."""
    if not isinstance(content, dict) or not content or not draw(st.integers(0, 5)):
        stolen = st.sampled_from(["stolen.Stolen", "os.mkdir", "builtins.exec", "avcap.encoders.CEDEncoder"])
        return draw(
            st.one_of(stolen, inputs.json_values, st.just(torch.zeros(2)), st.just(Path("x"))).filter(_storable)
        )
    weighty = [k for k in content if k in ("hyper_parameters", "state_dict", "class_path", "_class_path", "init_args")]
    key = draw(st.sampled_from(weighty or list(content)) if draw(st.booleans()) else st.sampled_from(list(content)))
    changed = dict(content)
    if not draw(st.integers(0, 3)):
        value = changed.pop(key)
        if draw(st.booleans()):
            changed[draw(st.sampled_from([f"{key}x", "avcap.evil", 3]))] = value
    else:
        changed[key] = _change(draw, changed[key])
    return changed


def _storable(value: Any) -> bool:
    try:
        file = io.BytesIO()
        torch.save(value, file)
    except Exception:
        return False
    return True


def open_checkpoint(path: Path, wanted: None) -> None:

    FileCaptioner.from_checkpoint(path)


def weights_part(path: Path, wanted: None) -> None:

    part(path, "audio_encoder", path.parent / "out.safetensors")


@st.composite
def safetensors_files(draw: st.DrawFn) -> tuple[bytes, None]:
    """A safetensors file of few tensors with blows, most of them in its header."""

    content = save({"blocks.0.norm1.weight": torch.zeros(2), "x": torch.ones(1, 2)}, {"avcap": '{"component": "X"}'})
    blows = draw(st.lists(inputs.blow, max_size=2))
    return (damage(content, blows) if draw(st.booleans()) else damage(content[:180], blows) + content[180:]), None


def import_weights(path: Path, wanted: None) -> None:

    import_(path, path.parent / "out.safetensors")


def load_weights(path: Path, wanted: None) -> None:

    load(torch.nn.Linear(2, 2), path, component="Linear")


# -- configs ----------------------------------------------------------------------------------------------------------


@st.composite
def configs(draw: st.DrawFn) -> tuple[bytes, None]:
    """The config of the drills with blows, or with a value of another type somewhere."""

    text = CONFIG.read_bytes()
    if draw(st.booleans()):
        return damage(text, draw(st.lists(inputs.blow, min_size=1, max_size=2))), None
    tree = inputs.retype(draw, yaml.safe_load(text))
    return yaml.safe_dump(tree, allow_unicode=draw(st.booleans())).encode("utf-8", "surrogatepass"), None


@st.composite
def matrices(draw: st.DrawFn) -> tuple[bytes, None]:
    """The table of the ablations with blows, or with a value of another type somewhere."""

    text = (Path(__file__).parents[2] / "configs" / "ablation" / "matrix.yaml").read_bytes()
    if draw(st.booleans()):
        return damage(text, draw(st.lists(inputs.blow, min_size=1, max_size=2))), None
    return yaml.safe_dump(inputs.retype(draw, yaml.safe_load(text))).encode(), None


def matrix(path: Path, wanted: None) -> None:

    read_matrix("demo", path).cells()


verbs = st.sampled_from(
    ["score", "data", "data prepare", "data verify", "metrics list", "list", "weights import", "fit", "caption", "xyz"]
)
words = st.one_of(
    st.sampled_from(
        [
            "--frames",
            "--json",
            "true",
            "--size=-1",
            "--num_workers",
            "x",
            "--",
            "-x",
            "--help",
            "1e400",
            "nan",
            "[]",
            "{}",
        ]
    ),
    st.sampled_from(
        ["--metrics", "[bleu_4", "null", "--out", "--trainer.max_epochs", "--config", "../..", "--ckpt_path", "last"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[bytes, None]:
    """A verb and some words, one a line."""
    line = [*draw(verbs).split(), *draw(st.lists(words, max_size=4))]
    return "\0".join(line).encode(), None


def command_line(path: Path, wanted: None) -> None:
    """Run a command line in the folder: its end is a status of ours."""

    before = Path.cwd()
    os.chdir(path.parent)
    try:
        ended(lambda: main(path.read_text().split("\0")))
    finally:
        os.chdir(before)


def ended(run: Callable[[], object]) -> None:
    """Run; where it exits, it has a status of ours, and a sentence where that is not 0."""
    status: object = 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            run()
        except SystemExit as stop:
            status = stop.code or 0
    assert status in (0, 1, 2), status
    assert not status or "avcap: error: " in said.getvalue(), f"status {status}: {said.getvalue()[-300:]}"


def config(path: Path, wanted: None) -> None:

    ended(lambda: run(["check", "--config", str(path), "--data.init_args.shards", str(path.parent)]))


ENTRANCES = {
    "audiocaps.csv": Entrance(mixed(inputs.audiocaps_csv()), "train.csv", captions, 6),
    "unquoted.csv": Entrance(inputs.unquoted_csv(), "train.csv", captions, 1),
    "wavcaps.json": Entrance(mixed(inputs.wavcaps_json(), json=True), "train.json", captions, 4),
    "files.csv": Entrance(mixed(inputs.file_csv()), "train.csv", captions, 6),
    "lavcap.json": Entrance(mixed(inputs.lavcap_json(), json=True), "train.json", captions, 6),
    "coco.json": Entrance(mixed(inputs.coco_json(), json=True), "train.json", captions, 6),
    "rows.jsonl": Entrance(mixed(inputs.caption_lines(), json=True, lines=True), "rows.jsonl", caption_rows, 4),
    "predictions.jsonl": Entrance(
        mixed(inputs.caption_lines(key="captions", single=False), json=True, lines=True),
        "predictions.jsonl",
        predictions,
        4,
    ),
    "references.jsonl": Entrance(
        mixed(inputs.caption_lines(key="references", single=False), json=True, lines=True),
        "references.jsonl",
        references,
        4,
    ),
    "prepare": Entrance(st.one_of(inputs.file_csv(), hostile_csv()), "train.csv", prepared, 2),
    "media": Entrance(damaged_media(), "clip.{}", media, 10),
    "features": Entrance(arrays(), "clip.npy", features, 2),
    "shards": Entrance(damaged_shards(), "{}", shards, 3),
    "checkpoint": Entrance(checkpoints(), "last.ckpt", open_checkpoint, 2),
    "part": Entrance(checkpoints(), "last.ckpt", weights_part, 1),
    "import": Entrance(st.one_of(safetensors_files(), checkpoints()), "weights.bin", import_weights, 2),
    "weights": Entrance(safetensors_files(), "weights.safetensors", load_weights, 2),
    "matrix": Entrance(matrices(), "matrix.yaml", matrix, 2),
    "config": Entrance(configs(), "config.yaml", config, 0.6, named=False),
    "words": Entrance(command_lines(), "words.txt", command_line, 2, named=False),
}
