"""`avcap caption` on files that people have."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from avcap.cli import main
from tests.media_files import grey_ramp, tone, write_media


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of every kind; the last two cannot be read."""
    folder = tmp_path_factory.mktemp("media")
    paths = {
        "stereo.mp3": write_media(
            folder / "stereo.mp3", wave=tone(3, 44_100), rate=44_100, channels=2, codec="libmp3lame"
        ),
        "both.mp4": write_media(folder / "both.mp4", wave=tone(2), pictures=grey_ramp(10)),
        "silent.mp4": write_media(folder / "silent.mp4", pictures=grey_ramp(10)),
        "short.wav": folder / "short.wav",
        "long.wav": folder / "long.wav",
        "picture.jpg": folder / "picture.jpg",
    }
    soundfile.write(paths["short.wav"], tone(0.3), 16_000)
    soundfile.write(paths["long.wav"], tone(35, 22_050), 22_050)
    Image.fromarray(np.full((90, 120, 3), 120, np.uint8)).save(paths["picture.jpg"])
    paths["truncated.mp4"] = folder / "truncated.mp4"
    paths["truncated.mp4"].write_bytes(paths["both.mp4"].read_bytes()[:1500])
    paths["empty.wav"] = folder / "empty.wav"
    soundfile.write(paths["empty.wav"], np.zeros(0, np.float32), 16_000)
    return paths


@pytest.fixture(scope="module")
def checkpoint(tiny_run: Path) -> list[str]:
    return ["--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt")]


def captions(words: list, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    main(["caption", *map(str, words), "--json"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_sound_video_and_pairs_are_captioned_from_what_they_have(media, checkpoint, capsys):
    pair = f"{media['short.wav']}+{media['picture.jpg']}"
    files = [media["both.mp4"], media["stereo.mp3"], media["silent.mp4"], pair, media["short.wav"], media["long.wav"]]
    rows = captions([*files, *checkpoint], capsys)
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert [row["streams"] for row in rows] == [
        ["audio", "video"],
        ["audio"],
        ["video"],
        ["audio", "video"],
        ["audio"],
        ["audio"],
    ]
    assert [row["seconds"] for row in rows] == pytest.approx([2, 3, 2, 0.3, 0.3, 5.12], abs=0.11)
    assert all(isinstance(row["caption"], str) for row in rows)


def test_a_file_of_which_only_the_beginning_is_heard_is_said_to_be_so(media, checkpoint, caplog):
    main(["caption", str(media["long.wav"]), *checkpoint])
    assert "long.wav is longer than the 5.1 s" in caplog.text


def test_a_checkpoint_carries_its_tokenizer(tiny_run, media, checkpoint, tmp_path, monkeypatch, capsys):
    (expected,) = captions([media["both.mp4"], *checkpoint], capsys)
    content = torch.load(tiny_run / "checkpoints" / "last.ckpt", weights_only=True)
    settings = content["hyper_parameters"]["decoder"]["init_args"]
    named = {name: settings[name] for name in ("tokenizer", "config")}
    assert set(map(str, named.values())) == set(content["avcap_files"])
    content["avcap_files"] = {f"gone/{Path(path).name}": files for path, files in content["avcap_files"].items()}
    settings |= {name: f"gone/{Path(path).name}" for name, path in named.items()}
    torch.save(content, tmp_path / "moved.ckpt")
    monkeypatch.chdir(tmp_path)
    (found,) = captions([media["both.mp4"], "--ckpt_path", tmp_path / "moved.ckpt"], capsys)
    assert found["caption"] == expected["caption"]


def test_a_map_is_drawn_and_several_are_named_apart(media, checkpoint, tmp_path, capsys):
    main(["caption", str(media["both.mp4"]), *checkpoint, "--map", str(tmp_path / "one.png")])
    assert Image.open(tmp_path / "one.png").width > 200
    pair = f"{media['short.wav']}+{media['picture.jpg']}"
    main(["caption", str(media["both.mp4"]), pair, *checkpoint, "--map", str(tmp_path / "map.png")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "map-both.mp4.png",
        "map-short.wav+picture.jpg.png",
        "one.png",
    ]
    capsys.readouterr()
    main(["caption", str(media["stereo.mp3"]), *checkpoint, "--map", str(tmp_path / "none.png")])
    assert "has no assignment map" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_named_and_the_others_captioned(media, checkpoint, tmp_path, capsys):
    files = [media["truncated.mp4"], media["both.mp4"], media["empty.wav"], tmp_path / "nowhere.mp4"]
    with pytest.raises(SystemExit) as stop:
        captions([*files, *checkpoint], capsys)
    assert stop.value.code == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(media["both.mp4"])]
    errors = [line for line in err.splitlines() if line.startswith("avcap: error:")]
    assert len(errors) == 3
    assert all(any(str(file) in error for error in errors) for file in [files[0], *files[2:]])


def test_beams_can_be_chosen_and_plain_lines_name_the_file(media, checkpoint, capsys):
    main(["caption", str(media["both.mp4"]), str(media["silent.mp4"]), *checkpoint, "--num_beams", "1"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{media['both.mp4']}: ")
    assert second.endswith("[video only]")


def test_a_picture_alone_has_no_length(media, checkpoint, capsys):
    (row,) = captions([media["picture.jpg"], *checkpoint], capsys)
    assert (row["streams"], row["seconds"]) == (["video"], None)


@pytest.mark.parametrize("kind", ["missing", "damaged", "pickle", "foreign", "tensor"])
def test_what_is_no_checkpoint_is_refused_and_never_run(kind, media, tmp_path, capsys):
    path, trap = tmp_path / "some.ckpt", tmp_path / "trap"
    if kind == "damaged":
        path.write_bytes(b"PK\x03\x04 not a checkpoint")
    if kind == "pickle":
        torch.save({"avcap_inputs": Payload(trap)}, path)
    if kind == "foreign":
        torch.save({"state_dict": {}}, path)
    if kind == "tensor":
        torch.save(torch.zeros(3), path)
    with pytest.raises(SystemExit) as stop:
        main(["caption", str(media["both.mp4"]), "--ckpt_path", str(path)])
    assert stop.value.code == 1
    error = capsys.readouterr().err.strip()
    assert str(path) in error
    assert len(error.splitlines()) == 1
    assert not trap.exists()


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.slow
def test_real_recordings_are_captioned(shared_data, checkpoint, capsys):
    clips = shared_data / "clips"
    pairs = [
        f"{sound}+{sound.with_name(sound.name.replace('_audio.wav', '_image.jpg'))}"
        for sound in clips.glob("*_audio.wav")
    ]
    files = [*clips.glob("*.mp4"), *pairs]
    rows = captions([*files, *checkpoint], capsys)
    assert len(rows) == len(files) > 0
    assert all("audio" in row["streams"] and not math.isnan(row["seconds"]) for row in rows)
