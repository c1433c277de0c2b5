"""The data set on disk: real media, the AudioCaps layout, resumption."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from avcap.scenes import compose, render
from avcap.scenes.dataset import build_dataset
from avcap.scenes.mp4 import write_mp4

SIZES = {"train": 6, "val": 2, "test": 2, "seconds": 2.0, "size": 32, "fps": 4, "num_workers": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    build_dataset(folder, **SIZES)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_tables_have_the_audiocaps_layout(root):
    ids = {}
    for split, captions in (("train", 1), ("val", 5), ("test", 5)):
        table = rows(root / f"{split}.csv")
        assert list(table[0]) == ["audiocap_id", "youtube_id", "start_time", "caption"]
        per_clip = Counter(f"{row['youtube_id']}_{row['start_time']}" for row in table)
        assert set(per_clip.values()) == {captions}
        assert len(per_clip) == SIZES[split]
        assert len({(row["youtube_id"], row["caption"]) for row in table}) == len(table)
        ids[split] = set(per_clip)
    assert len(set.union(*ids.values())) == 10
    assert {path.stem for path in (root / "videos").iterdir()} == set.union(*ids.values())
    every = [row["audiocap_id"] for split in ids for row in rows(root / f"{split}.csv")]
    assert len(set(every)) == len(every)


def test_events_and_image_captions_describe_every_clip(root):
    events = lines(root / "events.jsonl")
    names = {path.stem for path in (root / "videos").iterdir()}
    assert {event["id"] for event in events} == names
    assert {row["id"] for row in lines(root / "image_captions.jsonl")} == names
    for event in events:
        assert event["scene"] in {"plain", "sound_alike", "look_alike", "both"}
        for item in event["events"]:
            assert {"kind", "name", "audio", "visual", "offscreen", "box", "background"} <= set(item)


def test_clips_are_h264_and_aac(root):
    path = next((root / "videos").glob("*.mp4"))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height) == (32, 32)
        assert audio.rate == 16_000
        assert abs(container.duration / av.time_base - SIZES["seconds"]) < 0.15
        assert sum(1 for _ in container.decode(video=0)) == 8


def test_sound_survives_the_codec_in_place(tmp_path):
    """Decoded sound follows the rendered one without a shift: the event times stay exact."""
    scene = next(
        s for s in (compose(2, i, seconds=3.0) for i in range(50)) if s.heard[0].kind in ("cat", "horn", "bell")
    )
    audio, frames = render(scene)
    write_mp4(tmp_path / "clip.mp4", audio, frames=frames, fps=8)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        start = 0
    with av.open(str(tmp_path / "clip.mp4")) as container:
        start = next(container.decode(audio=0)).time
    decoded = np.concatenate(parts)[: len(audio)]
    length = min(len(decoded), len(audio))
    cross = np.fft.irfft(np.fft.rfft(audio[:length], 2 * length) * np.conj(np.fft.rfft(decoded[:length], 2 * length)))
    lag = int(cross.argmax())
    lag = lag - 2 * length if lag > length else lag
    assert abs(lag / 16_000 + start) < 0.01
    shifted = decoded[:length]
    assert np.corrcoef(audio[:length], shifted)[0, 1] > 0.9


def test_pictures_survive_the_codec(tmp_path):
    audio, frames = render(compose(0, 3, seconds=2.0))
    write_mp4(tmp_path / "clip.mp4", audio, frames=frames, fps=8)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 12


def test_odd_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match="33 x 33 pixels"):
        write_mp4(tmp_path / "clip.mp4", np.zeros(100, np.float32), frames=np.zeros((2, 33, 33, 3), np.uint8), fps=8)


def test_tokenizer_loads_and_adds_nothing(root):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(root / "tokenizer")
    prompt = "USER: <Speech>\u2026</Speech> Describe the audio.\nASSISTANT:"
    for text in (prompt, *[row["caption"] for row in rows(root / "train.csv")]):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert not set(ids) & set(tokenizer.all_special_ids)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")
    assert 256 < len(tokenizer) <= 1000
    assert set(tokenizer("a")) == {"input_ids", "attention_mask"}


def stamps(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_second_run_does_nothing(root):
    before = stamps(root)
    build_dataset(root, **SIZES)
    assert stamps(root) == before


def test_other_arguments_are_refused_then_overwrite(root, tmp_path):
    folder = tmp_path / "set"
    build_dataset(folder, **{**SIZES, "train": 2, "val": 0, "test": 0})
    with pytest.raises(ValueError, match=r"made with other arguments \(seed 0 instead of 1\).*--overwrite"):
        build_dataset(folder, **{**SIZES, "train": 2, "val": 0, "test": 0, "seed": 1})
    old = {path.name for path in (folder / "videos").iterdir()}
    build_dataset(folder, **{**SIZES, "train": 2, "val": 0, "test": 0, "seed": 1}, overwrite=True)
    assert not old & {path.name for path in (folder / "videos").iterdir()}


def test_half_made_set_is_completed(root, tmp_path):
    folder = tmp_path / "set"
    build_dataset(folder, **SIZES)
    clips = sorted((folder / "videos").glob("*.mp4"))
    kept, gone = clips[2:], clips[:2]
    for path in gone:
        path.unlink()
    (folder / "videos" / f".{gone[0].stem}.part").write_bytes(b"half a clip")
    (folder / "test.csv").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    before = {path: path.stat().st_mtime_ns for path in kept}
    build_dataset(folder, **SIZES)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert {path.name for path in (folder / "videos").iterdir()} == {path.name for path in clips}
    for name in ("train.csv", "val.csv", "test.csv", "events.jsonl", "image_captions.jsonl", "manifest.json"):
        assert (folder / name).read_bytes() == (root / name).read_bytes()


@pytest.mark.parametrize("gone", ["test.csv", "events.jsonl", "tokenizer/tokenizer.json"])
def test_lost_tables_are_made_again(root, tmp_path, gone):
    folder = tmp_path / "set"
    build_dataset(folder, **SIZES)
    (folder / gone).unlink()
    build_dataset(folder, **SIZES)
    assert (folder / gone).read_bytes() == (root / gone).read_bytes()


def test_processes_make_the_same_set(root, tmp_path):
    build_dataset(tmp_path / "set", **{**SIZES, "num_workers": 2})
    one, two = (
        {path.name: path.read_bytes() for path in (folder / "videos").iterdir()} for folder in (root, tmp_path / "set")
    )
    assert one == two


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not of a demo data set"):
        build_dataset(tmp_path, **SIZES, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_all_faults_are_named_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"seconds must be at least 2.0; size must be an even number"):
        build_dataset(tmp_path / "set", **{**SIZES, "seconds": 1.0, "size": 33})
