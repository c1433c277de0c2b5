"""Media -> shards: what is written, what is counted, what survives an interruption."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from avcap.cli import main
from avcap.ids import id_hash
from avcap.media import read_media
from avcap.shards import making
from avcap.shards.item import Item, pack, sixteen_bits, unpack
from avcap.shards.prepare import PrepareReport, prepare
from avcap.shards.reader import Shards
from tests.media_files import grey_ramp, small_set, tone, write_csv, write_media
from tests.served import served

COLUMNS = ("youtube_id", "start_time", "caption")


def _run(root: Path, **settings) -> PrepareReport:
    return prepare(root, **{"frames": 2, "size": 16, "num_workers": 1, "progress": False, **settings})


def test_items_hold_what_the_files_hold(small_root: Path, small_shards: Path) -> None:
    shards = Shards(small_shards / "train")
    assert len(shards) == 26
    assert len({shards.shard_of(i) for i in range(len(shards))}) == 4
    item = shards.item(7)
    path = small_root / "videos" / f"{item.id}.mp4"
    media = read_media(path, [path], frames=2, size=16)
    torch.testing.assert_close(item.waveform, media.waveform, atol=0.5001 / 32_768, rtol=0)  # stored with 16 bits
    assert item.frames.shape == (2, 3, 16, 16)
    assert torch.equal(item.frames, media.frames)  # small pictures are stored as they are
    assert item.captions == ["caption 0 of train clip 7"]
    assert item.duration == pytest.approx(0.6, abs=0.01)  # 3 frames of 0.2 s; the sound of 0.5 s ends in silence


def test_large_pictures_are_stored_as_jpegs() -> None:
    x = torch.linspace(0, 255, 128).expand(3, 3, 100, 128).contiguous().to(torch.uint8)
    record = pack(Item("a", frames=x))
    assert len(record["frames"]) < x.numel() / 4
    assert (unpack(record).frames.float() - x.float()).abs().max() < 12
    assert torch.equal(unpack(record, frames=1).frames, unpack(record).frames[1:2])


def test_streams_that_a_clip_lacks_are_absent(small_shards: Path) -> None:
    shards = Shards(small_shards / "train")
    silent, blind = shards.item(3), shards.item(4)
    assert silent.waveform is None
    assert silent.frames is not None
    assert silent.duration == pytest.approx(0.6, abs=0.01)
    assert blind.frames is None
    assert blind.waveform is not None


def test_info_tells_ids_hash_captions_and_settings(small_shards: Path) -> None:
    info = Shards(small_shards / "train").info
    assert info.ids == [f"clip{k:07d}_{k}" for k in range(26)]
    assert info.id_hash == id_hash(info.ids)
    assert info.captions == {"1": 17, "3": 9}
    assert (info.sample_rate, info.frames, info.size) == (16_000, 2, 16)
    assert info.streams == {"audio": 21, "frames": 21, "visual_features": 0}
    assert Shards(small_shards / "val").info.captions == {"5": 5}


def test_missing_and_broken_clips_are_counted_and_never_fatal(tmp_path: Path) -> None:
    for name in ("good0000000_1", "late0000000_2"):
        write_media(tmp_path / "videos" / f"{name}.mp4", wave=tone(0.5), pictures=grey_ramp(3, 16, 16))
    broken = tmp_path / "videos" / "late0000000_2.mp4"
    broken.write_bytes(broken.read_bytes()[:900])
    soundfile.write(tmp_path / "none0000000_3.wav", np.zeros(0, np.float32), 16_000)
    rows = [("good0000000", 1, "a"), ("late0000000", 2, "b"), ("none0000000", 3, "c"), ("gone0000000", 4, "d")]
    write_csv(tmp_path / "train.csv", COLUMNS, rows)
    report = _run(tmp_path)
    info = report.splits[0]
    assert info.ids == ["good0000000_1"]
    assert info.missing == ["gone0000000_4"]
    assert [b["id"] for b in info.broken] == ["late0000000_2", "none0000000_3"]
    lines = [json.loads(line) for line in (tmp_path / "shards" / "quarantine.jsonl").read_text().splitlines()]
    assert lines[0]["file"] == str(broken)
    assert "not a readable media file" in lines[0]["reason"]
    assert "without a single sample" in lines[1]["reason"]
    (info,) = report.splits
    assert (info.clips, len(info.missing), len(info.broken), len(info.ids)) == (4, 1, 2, 1)


def test_a_finished_split_is_kept_and_other_settings_are_refused(tmp_path: Path) -> None:
    root = small_set(tmp_path, train=3, val=1)
    _run(root)
    stamp = (root / "shards/train/info.json").stat().st_mtime_ns
    assert _run(root).kept == ["train", "val"]
    assert (root / "shards/train/info.json").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match=r"shards/train was made from other .* add --overwrite"):
        _run(root, size=32)
    assert _run(root, size=32, overwrite=True).splits[0].size == 32


def test_an_interrupted_split_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small_set(tmp_path, train=10, val=1)
    whole = _run(root, out=tmp_path / "whole", clips_per_shard=3).splits[0]
    read_item = making.read_item
    reads: list[str] = []

    def interrupted(clip, *args, **settings):
        if len(reads) == 7:
            raise KeyboardInterrupt
        reads.append(clip.id)
        return read_item(clip, *args, **settings)

    monkeypatch.setattr(making, "read_item", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(root, clips_per_shard=3, num_workers=0)
    assert not (root / "shards/train").exists()
    monkeypatch.setattr(making, "read_item", lambda clip, *a, **k: reads.append(clip.id) or read_item(clip, *a, **k))
    done = _run(root, clips_per_shard=3, num_workers=0).splits[0]
    assert done.ids == whole.ids
    assert reads[7:10] == whole.ids[7:]  # the clips that were read are not read again
    assert sorted(p.name for p in (root / "shards/train").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole/train").iterdir()
    )
    shards = Shards(root / "shards/train")
    assert [shards.item(k).id for k in range(10)] == whole.ids


def test_two_processes_write_the_same_as_one(small_root: Path, small_shards: Path, tmp_path: Path) -> None:
    _run(small_root, out=tmp_path, clips_per_shard=8, num_workers=2)
    for split in ("train", "val"):
        one, two = Shards(small_shards / split), Shards(tmp_path / split)
        assert one.ids == two.ids
        for index in range(len(one)):
            assert {k: bytes(v) if k not in ("id", "meta") else v for k, v in one.record(index).items()} == {
                k: bytes(v) if k not in ("id", "meta") else v for k, v in two.record(index).items()
            }


def test_features_float32_and_another_sample_rate(tmp_path: Path) -> None:
    wave = tone(0.5)
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="PCM_16")
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "a.npy", features)
    write_csv(tmp_path / "train.csv", ("file_name", "caption"), [("a.wav", "a tone")])
    _run(tmp_path, features=tmp_path / "features", half=False, max_seconds=0.25)
    item = Shards(tmp_path / "shards/train").item(0)
    torch.testing.assert_close(item.waveform, torch.from_numpy(wave[:4_000]), atol=2 / 32_768, rtol=0)
    torch.testing.assert_close(item.visual_features, torch.from_numpy(features))
    _run(tmp_path, sample_rate=8_000, overwrite=True)
    slow = Shards(tmp_path / "shards/train").item(0)
    assert (len(slow.waveform), slow.sample_rate, slow.duration) == (4_000, 8_000, 0.5)
    with pytest.raises(ValueError, match="hold 8000 samples a second and KaldiFbank reads 16000; make them again"):
        served(tmp_path / "shards").dataset("train")


def test_the_recording_is_kept_to_the_bit() -> None:
    wave = torch.tensor([-1.0, -0.5, 0.0, 1 / 32_768, 0.3, 32_767 / 32_768, 1.5])
    kept = unpack(pack(Item("a", waveform=wave))).waveform
    assert kept.tolist() == (sixteen_bits(wave) / 32_768).tolist()
    assert torch.equal(unpack(pack(Item("a", waveform=kept))).waveform, kept)


def test_shards_of_spectrograms_are_refused(small_root: Path, tmp_path: Path) -> None:
    """Those of an earlier version; made again they are as any."""
    (tmp_path / "train").mkdir()
    old = {"split": "train", "front_end": "kaldi", "mels": 64, "frames": 2, "size": 16, "ids": ["a"], "plan": "x"}
    (tmp_path / "train" / "info.json").write_text(json.dumps(old))
    for read in (lambda: Shards(tmp_path / "train"), lambda: _run(small_root, out=tmp_path, splits=["train"])):
        with pytest.raises(ValueError, match=r"hold spectrograms in place of the sound; make .* --overwrite"):
            read()
    _run(small_root, out=tmp_path, splits=["train"], overwrite=True)
    assert len(Shards(tmp_path / "train")) == 26


def test_many_missing_clips_deserve_a_remark(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_media(tmp_path / "good0000000_1.mp4", wave=tone(0.5), pictures=grey_ramp(3, 16, 16))
    for gone, told in ((1, 0), (2, 1)):
        rows = [("good0000000", 1, "a"), *((f"gone{k:07d}", 4, "d") for k in range(gone))]
        write_csv(tmp_path / "train.csv", COLUMNS, rows)
        _run(tmp_path, overwrite=True)
        remarks = [message for message in caplog.messages if "have a media file" in message]
        assert len(remarks) == told
    assert f"Of the 3 clips of {tmp_path / 'train.csv'}, 1 have a media file" in remarks[0]
    assert "--media" in remarks[0]


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no caption file; expected train\.csv"):
        _run(tmp_path)
    write_csv(tmp_path / "train.csv", COLUMNS, [("gone0000000", 4, "d")])
    with pytest.raises(
        ValueError, match=r"Of the 1 clips of .*train\.csv no media file was found .* gone0000000_4\.mp4"
    ):
        _run(tmp_path)
    with pytest.raises(ValueError, match="sample_rate at least 1"):
        _run(tmp_path, sample_rate=0)


def test_real_recordings(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "esc10"
    names = sorted(p.relative_to(root) for p in root.glob("*/1-*A.ogg"))[:8]
    write_csv(tmp_path / "train.csv", ("file_name", "caption"), [(n, f"the sound of {n.parent}") for n in names])
    info = _run(tmp_path, media=root).splits[0]
    assert info.ids == [n.with_suffix("").as_posix() for n in names]
    assert Shards(tmp_path / "shards/train").item(0).waveform is not None


def test_the_command_prints_a_table_and_where_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = small_set(tmp_path, train=3, val=1)
    min((root / "videos").iterdir()).write_bytes(b"")
    for expected in ("Clips that could not be read: 1; the reasons are in", "train: was finished before and is kept."):
        main(["data", "prepare", str(root), "--frames=1", "--size=16", "--num_workers=0"])
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split()[:6] == ["train", "3", "3", "0", "1", "2"]
        assert any(line.startswith(expected) for line in lines)


def test_what_a_caption_file_lacks_is_in_the_report(tmp_path: Path) -> None:
    """COCO with an image that has no caption: it is left out here, and does not fail in training."""
    for name in "ab":
        write_media(tmp_path / f"{name}.wav", wave=tone(0.5), codec="pcm_s16le")
    images = [{"id": 1, "file_name": "a.wav"}, {"id": 2, "file_name": "b.wav"}]
    content = {"images": images, "annotations": [{"image_id": 1, "caption": "a dog"}]}
    (tmp_path / "test.json").write_text(json.dumps(content))
    report = prepare(tmp_path, frames=0, num_workers=0, progress=False)
    assert report.notes == [f"{tmp_path / 'test.json'}: an image has no caption and is left out: 2."]
    assert [info.ids for info in report.splits] == [["1"]]
    assert Shards(tmp_path / "shards" / "test").captions([0]) == [["a dog"]]


def test_sound_and_video_in_two_folders_make_one_clip(tmp_path: Path) -> None:
    write_media(tmp_path / "audio" / "x_0.webm", wave=tone(0.5, 48_000), rate=48_000, codec="libopus")
    write_media(tmp_path / "videos" / "x_0.mp4", pictures=grey_ramp(4))
    write_csv(tmp_path / "test.csv", ("youtube_id", "start_time", "caption"), [("x", 0, "a beep")])
    (info,) = prepare(tmp_path, frames=2, size=16, num_workers=0, progress=False).splits
    assert info.streams["audio"] == info.streams["frames"] == 1


def test_a_caption_file_of_another_name_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "captions.csv", ("file_name", "caption"), [("a.wav", "x")])
    with pytest.raises(
        FileNotFoundError, match=r"expected train\.csv or train\.json\. Is it captions\.csv\? Rename it"
    ):
        prepare(tmp_path)


def test_a_broken_file_with_odd_bytes_in_its_path_is_listed(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "a_0.wav").write_bytes(b"no sound")
    write_media(folder / "b_0.wav", wave=tone(0.5), codec="pcm_s16le")
    write_csv(tmp_path / "test.csv", COLUMNS, [("a", 0, "x"), ("b", 0, "y")])
    (info,) = prepare(tmp_path, frames=0, num_workers=0, progress=False).splits
    assert info.ids == ["b_0"]
    for path in (tmp_path / "shards/quarantine.jsonl", tmp_path / "shards/test/info.json"):
        assert "caf\\udce9" in path.read_text(encoding="utf-8")
    assert Shards(tmp_path / "shards/test").info.broken[0]["file"] == str(folder / "a_0.wav")


def test_an_id_may_be_the_name_of_a_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """litdata would write that file in place of the id."""
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    write_csv(tmp_path / "test.csv", ("file_name", "caption"), [("a.wav", "silence")])
    (tmp_path / "a").write_text("another file")
    monkeypatch.chdir(tmp_path)
    _run(Path(), num_workers=0)
    assert Shards(tmp_path / "shards/test").item(0).id == "a"


def test_records_are_plain_where_litdata_could_write_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pyarrow installed, litdata writes records whose types it knows as an Arrow table."""
    monkeypatch.setattr("litdata.streaming.writer.append_arrow_row_footer", lambda *_, **__: b"a table LITARROW")
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    write_csv(tmp_path / "test.csv", ("file_name", "caption"), [("a.wav", "silence")])
    _run(tmp_path, num_workers=0)
    assert Shards(tmp_path / "shards/test").item(0).captions == ["silence"]
