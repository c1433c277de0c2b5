"""Large data sets: kills, parts, increments, and one process at a time."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from avcap.atomic import put_in_place
from avcap.cli import main
from avcap.lock import locked
from avcap.shards import making
from avcap.shards import writer as shard_writer
from avcap.shards.prepare import PrepareReport, merge, prepare
from avcap.shards.reader import ShardInfo, Shards
from avcap.shards.verify import verify
from tests.media_files import grey_ramp, tone, write_csv, write_media

read_item = making.read_item
SETTINGS = {"frames": 2, "size": 8, "clips_per_shard": 3, "num_workers": 0, "progress": False}


def _run(root: Path, **settings) -> PrepareReport:
    return prepare(root, **{**SETTINGS, **settings})


def _captions(root: Path, clips: range, caption: str = "sound") -> None:
    write_csv(root / "train.csv", ("file_name", "caption"), [(f"{k}.wav", f"{caption} {k}") for k in clips])


def _sounds(root: Path, clips: range) -> Path:
    """A data set of short tones."""
    root.mkdir(parents=True, exist_ok=True)
    for k in clips:
        soundfile.write(root / f"{k}.wav", tone(0.1, hz=200.0 + 20 * k), 16_000)
    _captions(root, clips)
    return root


def _tree(out: Path) -> dict[str, bytes]:
    """Everything in a folder but locks."""
    files = (path for path in out.rglob("*") if path.is_file() and not path.name.endswith("lock"))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the clips that were decoded in this process."""
    seen: list[str] = []
    monkeypatch.setattr(making, "read_item", lambda clip, **k: seen.append(clip.id) or read_item(clip, **k))
    return seen


def _interrupt(root: Path, after: int, monkeypatch: pytest.MonkeyPatch, **settings) -> None:
    """Prepare, and stop after some clips."""
    seen: list[str] = []

    def read(clip, **options):
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(clip.id)
        return read_item(clip, **options)

    with monkeypatch.context() as patch:
        patch.setattr(making, "read_item", read)
        with pytest.raises(KeyboardInterrupt):
            _run(root, **settings)


def test_the_manifest_tells_where_each_clip_comes_from_and_is(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(4))
    (root / "2.wav").write_bytes(b"")
    info = _run(root).splits[0]
    split = root / "shards" / "train"
    rows = [json.loads(line) for line in (split / "manifest.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    assert "reason" in rows[2]
    state = (root / "1.wav").stat()
    assert rows[1]["origin"]["audio"] == ["1.wav", state.st_size, state.st_mtime_ns]
    assert (rows[1]["seconds"], rows[1]["streams"], rows[3]["shard"]) == (0.1, ["audio"], "chunk-0-1.bin")
    held = (split / rows[1]["shard"]).read_bytes()[rows[1]["offset"] : rows[1]["offset"] + rows[1]["bytes"]]
    assert bytes(Shards(split).record(1)["waveform"]) in held
    assert set(info.files) == {p.name for p in split.iterdir()} - {"info.json"}


def test_a_file_name_of_odd_bytes_is_written_and_known_again(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(2))
    (root / "1").mkdir()
    Image.new("RGB", (8, 8), "red").save(root / "1" / "a.png")
    try:
        (root / "1" / "a.png").rename(root / "1" / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert _run(root).splits[0].streams["frames"] == 1
    assert _run(root, update=True).kept == ["train"]
    assert "caf\\udce9.png" in (root / "shards/train/manifest.jsonl").read_text(encoding="utf-8")


def test_an_update_decodes_what_changed_and_equals_a_fresh_run(tmp_path: Path, reads: list[str]) -> None:
    root = _sounds(tmp_path / "root", range(12))
    back = (root / "4.wav").read_bytes()
    (root / "4.wav").unlink()
    (root / "9.wav").write_bytes(b"RIFF")
    _run(root)
    reads.clear()

    (root / "4.wav").write_bytes(back)  # a clip came back, one has other content, one another caption, one is gone
    soundfile.write(root / "6.wav", tone(0.2), 16_000)
    _captions(root, range(11), caption="tone")
    with pytest.raises(ValueError, match="add --overwrite to make it again, or --update to make again only what"):
        _run(root)
    info = _run(root, update=True).splits[0]
    assert reads == ["4", "6"]
    assert info.ids == [str(k) for k in range(11) if k != 9]
    fresh = tmp_path / "fresh"
    _run(root, out=fresh)
    assert _tree(root / "shards") == _tree(fresh)
    assert verify(fresh, progress=False).ok
    reads.clear()
    assert _run(root, update=True).kept == ["train"]
    assert reads == []


def test_broken_clips_are_tried_again_when_asked(tmp_path: Path, reads: list[str]) -> None:
    root = _sounds(tmp_path, range(5))
    (root / "3.wav").write_bytes(b"")
    _run(root)
    reads.clear()
    _run(root, update=True)
    assert reads == []
    _run(root, retry=True)
    assert reads == ["3"]
    soundfile.write(root / "3.wav", tone(0.1), 16_000)
    assert _run(root).changed == {"train": 1}
    assert _run(root, update=True).splits[0].broken == []
    assert not (root / "shards" / "quarantine.jsonl").exists()


def test_a_split_with_other_settings_or_of_an_earlier_version_is_not_updated(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(3))
    _run(root)
    with pytest.raises(ValueError, match=r"was made with sample_rate 16000, not 8000, .* add --overwrite"):
        _run(root, update=True, sample_rate=8_000)
    (root / "shards/train/manifest.jsonl").unlink()
    with pytest.raises(ValueError, match="was made by an earlier version and cannot be updated; add --overwrite"):
        _run(root, update=True)
    assert len(Shards(root / "shards/train")) == 3


def test_parts_joined_equal_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    root = _sounds(tmp_path / "root", range(11))
    (root / "8.wav").write_bytes(b"")
    _run(root, out=tmp_path / "whole")
    out = tmp_path / "parts"
    command = ["data", "prepare", str(root), f"--out={out}", "--frames=2", "--size=8", "--clips_per_shard=3"]
    main([*command, "--num_workers=0", "--shard_index=1", "--num_shards=3"])
    assert "train: this part is made; once all parts are, join them with `avcap data merge" in capsys.readouterr().out
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("GLOBAL_RANK", "2")  # which litdata reads
    assert _run(root, out=out).parts == ["train"]
    for name in ("RANK", "WORLD_SIZE", "GLOBAL_RANK"):
        monkeypatch.delenv(name)
    with pytest.raises(ValueError, match=r"lacks 2 of the 4 shards of train \(the first: 0\); run the parts"):
        merge(out)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "3")
    _run(root, out=out)
    main(["data", "merge", str(out)])
    assert capsys.readouterr().out.splitlines()[1].split()[:6] == ["train", "11", "11", "0", "1", "10"]
    assert _tree(out) == _tree(tmp_path / "whole")
    with pytest.raises(FileNotFoundError, match="There is no unfinished split in"):
        merge(out)


def test_part_numbers_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _sounds(tmp_path, range(1))
    for index, count in ((3, 3), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="shard_index must be from 0 to num_shards - 1"):
            _run(root, shard_index=index, num_shards=count)
    with pytest.raises(ValueError, match="belong together"):
        _run(root, num_shards=2)
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}.items():
        monkeypatch.setenv(name, value)
    assert _run(root).splits[0].ids == ["0"]  # in a batch script, which is one process


def test_a_truncated_unfinished_shard_is_made_again(tmp_path: Path, monkeypatch, reads: list[str]) -> None:
    root = _sounds(tmp_path / "root", range(9))
    _run(root, out=tmp_path / "whole")
    _interrupt(root, 7, monkeypatch)
    (partial,) = (root / "shards").glob("train.*.partial")
    first, second = sorted((partial / "split").glob("*.bin"))
    first.write_bytes(first.read_bytes()[:-1])
    content = bytearray(second.read_bytes())
    content[-5] ^= 1
    second.write_bytes(content)
    spooled = partial / "clips" / "2" / "0"
    spooled.write_bytes(spooled.read_bytes()[:-9])
    reads.clear()
    _run(root)
    assert reads == [str(k) for k in range(9)]
    assert _tree(root / "shards") == _tree(tmp_path / "whole")


def test_a_mistaken_option_deletes_no_unfinished_work(tmp_path: Path, monkeypatch, reads: list[str], capsys) -> None:
    root = _sounds(tmp_path, range(9))
    _interrupt(root, 7, monkeypatch)
    report = _run(root, out=root / "shards", sample_rate=8_000)
    (aside,) = report.aside
    shutil.rmtree(root / "shards" / "train")
    reads.clear()
    assert _run(root).aside == []
    assert reads == ["7", "8"]

    _run(root, sample_rate=8_000, overwrite=True)
    _interrupt(root, 7, monkeypatch, overwrite=True)
    main(["data", "prepare", str(root), "--frames=2", "--size=8", "--sample_rate=8000", "--num_workers=0"])
    (aside,) = (root / "shards").glob("*.partial")
    assert f"{aside} holds unfinished work by other settings" in capsys.readouterr().out
    _run(root, sample_rate=8_000, clear=True)
    assert not aside.exists()
    assert ShardInfo.load(root / "shards/train").sample_rate == 8_000


def test_a_kill_while_a_split_is_replaced_loses_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _sounds(tmp_path / "root", range(4))
    _run(root)
    soundfile.write(root / "1.wav", tone(0.2), 16_000)
    _run(root, out=tmp_path / "whole")
    shards = root / "shards"
    with monkeypatch.context() as patch:
        replace = Path.replace
        patch.setattr(Path, "replace", lambda path, to: _stop() if to == shards / "train" else replace(path, to))
        with pytest.raises(KeyboardInterrupt):
            _run(root, update=True)
    assert not (shards / "train").exists()
    with pytest.raises(FileNotFoundError, match="There are no shards"):
        verify(shards)
    before = {name: content for name, content in _tree(shards).items() if ".partial" in name}
    assert _run(root).changed == {"train": 1}
    assert {name: content for name, content in _tree(shards).items() if ".partial" in name} == before
    _run(root, update=True)
    assert _tree(shards) == _tree(tmp_path / "whole")


def _stop() -> None:
    raise KeyboardInterrupt


def test_what_a_kill_left_of_a_finished_split_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _sounds(tmp_path, range(4))
    with monkeypatch.context() as patch:
        patch.setattr(shard_writer, "put_in_place", lambda fresh, path: (put_in_place(fresh, path), _stop()))
        with pytest.raises(KeyboardInterrupt):
            _run(root)
    assert list((root / "shards").glob("*.partial"))
    report = _run(root)
    assert (report.kept, report.aside) == (["train"], [])
    assert not list((root / "shards").glob("*.partial"))


def test_a_second_process_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(2))
    held = "from pathlib import Path; import sys, time; from avcap.lock import locked\n"
    held += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(300)"
    other = subprocess.Popen([sys.executable, "-c", held, str(root / "shards")], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    for part in ({}, {"shard_index": 0, "num_shards": 2}):
        with pytest.raises(BlockingIOError, match=rf"Process {other.pid} on .* is writing into .*shards; wait"):
            _run(root, **part)
    other.kill()
    other.wait()
    assert _run(root).splits[0].ids == ["0", "1"]


def test_parts_of_another_number_are_refused_at_the_same_time(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(2))
    with locked(root / "shards", ".part-1-of-2.lock"):
        _run(root, shard_index=0, num_shards=2)
        for part in ({}, {"shard_index": 0, "num_shards": 3}, {"shard_index": 1, "num_shards": 2}):
            with pytest.raises(BlockingIOError):
                _run(root, **part)


def test_numbers_that_are_not_finite_and_features_of_another_width_are_quarantined(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(8))
    wave = tone(0.1)
    wave[5] = np.nan
    soundfile.write(root / "1.wav", wave, 16_000, subtype="FLOAT")
    (root / "visual_feature").mkdir()
    for k in range(8):
        features = np.ones((2, 5 if k == 0 else 4), np.float32)
        features[0, 0] = np.inf if k == 3 else 1
        np.save(root / "visual_feature" / f"{k}.npy", features)
    info = _run(root).splits[0]
    assert {b["id"]: b["file"] for b in info.broken} == {k: str(root / f"{k}.wav") for k in "013"}
    reasons = [b["reason"] for b in info.broken]
    assert reasons[0] == f"{root / 'visual_feature' / '0.npy'} has 5 channels, and the data set's features have 4."
    assert "1.wav" in reasons[1]
    assert "NaN" in reasons[1]
    assert reasons[2] == f"{root / 'visual_feature' / '3.npy'} holds numbers that are not finite (NaN or infinity)."
    assert info.visual_width == 4


def test_sound_with_many_channels_costs_at_most_itself(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(3))
    for k, channels in enumerate((9, 16, 24)):
        many = np.repeat(tone(0.1)[:, None], channels, axis=1)
        soundfile.write(root / f"many{k}.wav", many, 16_000, format="WAVEX")
    rows = [*((f"{k}.wav", "a tone") for k in range(3)), *((f"many{k}.wav", "many tones") for k in range(3))]
    write_csv(root / "train.csv", ("file_name", "caption"), rows)
    info = _run(root, num_workers=1).splits[0]
    assert info.ids[:3] == ["0", "1", "2"]
    assert sorted(info.ids[3:] + [b["id"] for b in info.broken]) == ["many0", "many1", "many2"]
    assert all(b["id"] in b["reason"] for b in info.broken)
    assert _run(root, num_workers=1).kept == ["train"]


def _hang(clip, **options):
    if clip.id == "2":
        time.sleep(300)
    return read_item(clip, **options)


def test_a_clip_that_hangs_is_quarantined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _sounds(tmp_path, range(5))
    monkeypatch.setattr(making, "read_item", _hang)
    info = _run(root, num_workers=2, clip_seconds=1.5).splits[0]
    assert info.ids == ["0", "1", "3", "4"]
    (row,) = [json.loads(line) for line in (root / "shards/quarantine.jsonl").read_text().splitlines()]
    assert (row["split"], row["id"], row["file"]) == ("train", "2", str(root / "2.wav"))
    assert row["reason"] == f"{root / '2.wav'} took longer than 1.5 s (--clip_seconds)."
    monkeypatch.setattr(making, "read_item", read_item)
    assert _run(root, retry=True).splits[0].broken == []


def test_a_failed_split_can_be_tried_again(tmp_path: Path) -> None:
    root = _sounds(tmp_path, range(2))
    for k in range(2):
        (root / f"{k}.wav").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"No clip of the split train could be read; the first fault: .*0\.wav.* --retry"
    ):
        _run(root)
    _sounds(root, range(2))
    assert _run(root).splits[0].ids == ["0", "1"]


def _killed_before(write: int | None, root: Path, **settings) -> int:
    """Prepare in a process that ends itself before its n-th change of the folder of shards; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    changes = itertools.count(1)

    def watch(event: str, arguments: tuple) -> None:
        if event in CHANGES and str(root / "shards") in str(arguments[0]) and next(changes) == write:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        _run(root, **settings)
    except BaseException:
        os._exit(1)
    os._exit(0)


CHANGES = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"update": True}, {"overwrite": True}], ids=str)
def test_killed_before_any_change_it_goes_on_to_the_same_bytes(tmp_path: Path, settings: dict[str, bool]) -> None:
    root = _sounds(tmp_path / "root", range(5))
    (root / "3.wav").write_bytes(b"")
    if settings:
        _run(root)
        shutil.copytree(root / "shards", tmp_path / "start")
        soundfile.write(root / "1.wav", tone(0.2), 16_000)
        _captions(root, range(5), caption="tone")
    _run(root, out=tmp_path / "whole")
    points = random.Random(str(settings)).sample(range(1, 160), 6)
    statuses = []
    for point in points:
        shutil.rmtree(root / "shards", ignore_errors=True)
        if settings:
            shutil.copytree(tmp_path / "start", root / "shards")
        statuses.append(_killed_before(point, root, **settings))
        assert _killed_before(None, root, **settings) == 0
        assert _tree(root / "shards") == _tree(tmp_path / "whole"), point
    assert set(statuses) <= {0, -signal.SIGKILL}
    assert statuses.count(-signal.SIGKILL) > 3


def _killed(command: list[str], seconds: float) -> int:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@pytest.mark.slow
def test_killed_again_and_again_it_writes_the_same_bytes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rows = []
    for k in range(24):
        write_media(root / f"{k}.mp4", wave=tone(3.0, hz=200.0 + k), pictures=grey_ramp(60, 360, 640), fps=20)
        rows.append((f"{k}.mp4", f"clip {k}"))
    write_csv(root / "train.csv", ("file_name", "caption"), rows)
    (root / "7.mp4").write_bytes(b"")
    _run(root, out=tmp_path / "whole", frames=4, size=128)
    command = [sys.executable, "-m", "avcap", "data", "prepare", str(root), "--frames=4", "--size=128"]
    command += ["--clips_per_shard=3", f"--out={tmp_path / 'killed'}", "--progress=false"]
    moments = random.Random(0)
    started = time.monotonic()
    assert _killed([*command[:4], "--help"], 60) == 0
    start = time.monotonic() - started
    statuses = [_killed(command, start + moments.uniform(0.1, 1.2)) for _ in range(3)]
    assert -9 in statuses
    assert _killed(command, 120) == 0
    assert _tree(tmp_path / "killed") == _tree(tmp_path / "whole")
