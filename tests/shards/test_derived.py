"""Derived columns: the same as what is computed in the loader, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from avcap.cli import main
from avcap.commands.derive import frontend_of
from avcap.data.corruptions import NoisyPictures, SilentSound
from avcap.frontends import CEDMelSpectrogram, FrontEnd, KaldiFbank
from avcap.lock import locked
from avcap.shards import derived
from avcap.shards.derived import DerivedColumn, folder_of, write_column
from avcap.shards.prepare import prepare
from avcap.shards.reader import Shards
from avcap.shards.verify import verify
from tests.end_to_end.program import REPOSITORY
from tests.served import SMALL, served


@pytest.fixture
def shards(small_shards: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_shards, tmp_path / "shards")


def _derive(shards: Path, frontend: FrontEnd = SMALL, split: str = "train", **settings) -> bool:
    return write_column(Shards(shards / split), frontend, **{"num_workers": 0, "progress": False, **settings})


@pytest.mark.parametrize("frontend", [SMALL, CEDMelSpectrogram(8, 64)], ids=["kaldi", "ced"])
def test_the_column_is_what_the_loader_computes(small_shards: Path, shards: Path, frontend: FrontEnd) -> None:
    """To float16: 2**-11 of the raw value, at most 16 for Kaldi's logarithms and 100 for decibels."""
    assert _derive(shards, frontend)
    kept = served(shards, frontend=frontend).dataset("train")
    computed = served(small_shards, frontend=frontend).dataset("train")
    assert kept._column is not None
    assert computed._column is None
    for index in range(len(kept)):
        ours, theirs = kept[index], computed[index]
        assert ours.keys() == theirs.keys()
        if "audio" in ours:
            assert torch.equal(ours["audio_mask"], theirs["audio_mask"])
            largest = 100 if isinstance(frontend, CEDMelSpectrogram) else 16
            torch.testing.assert_close(ours["audio"], theirs["audio"], atol=largest * 2**-11 / frontend.std, rtol=0)
    assert "audio" not in kept[3]  # the clip has no sound


def test_float32_shards_keep_float32_columns(small_root: Path, tmp_path: Path) -> None:
    prepare(small_root, tmp_path, splits=["val"], frames=0, half=False, num_workers=1, progress=False)
    computed = served(tmp_path).dataset("val")[0]["audio"]
    assert _derive(tmp_path, split="val")
    assert torch.equal(served(tmp_path).dataset("val")[0]["audio"], computed)


def test_one_column_serves_every_length_and_normalisation(shards: Path) -> None:
    _derive(shards)
    for other in (KaldiFbank(8, 32), KaldiFbank(8, mean=0.0, std=1.0)):
        assert served(shards, frontend=other).dataset("train")._column is not None
    assert served(shards, frontend=KaldiFbank(16)).dataset("train")._column is None


def test_spoilt_sound_is_never_read_from_a_column(shards: Path) -> None:
    _derive(shards, split="val")
    assert served(shards, corruptions=[SilentSound()]).dataset("val")._column is None
    assert served(shards, corruptions=[NoisyPictures()]).dataset("val")._column is not None


def test_an_interrupted_column_goes_on_and_is_not_seen_before(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, calls = KaldiFbank.features, []

    def interrupted(self, wave):
        if len(calls) == 12:
            raise KeyboardInterrupt
        calls.append(len(wave))
        return features(self, wave)

    monkeypatch.setattr(KaldiFbank, "features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _derive(shards, clips_per_file=5)
    assert DerivedColumn.find(Shards(shards / "train"), SMALL) is None
    monkeypatch.setattr(KaldiFbank, "features", lambda self, wave: calls.append(len(wave)) or features(self, wave))
    done = len(calls)
    assert _derive(shards, clips_per_file=5)
    assert len(calls) - done == 21 - 12  # 21 clips have sound; those of the finished files are not computed again
    assert not list((shards / "train" / "derived").glob("*.partial"))
    assert not _derive(shards)


def test_two_processes_write_the_same_as_one(shards: Path, small_shards: Path, tmp_path: Path) -> None:
    other = shutil.copytree(small_shards, tmp_path / "other")
    _derive(shards, clips_per_file=5)
    _derive(other, clips_per_file=5, num_workers=2)
    one, two = (folder_of(Shards(folder / "train"), SMALL) for folder in (shards, other))
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
    assert all((one / path.name).read_bytes() == path.read_bytes() for path in two.iterdir())


def test_a_column_that_another_process_writes_is_refused(shards: Path) -> None:
    folder = folder_of(Shards(shards / "train"), SMALL)
    with (
        locked(folder.parent, f".{folder.name}.lock"),
        pytest.raises(BlockingIOError, match=r"is writing into .*derived; wait"),
    ):
        _derive(shards)
    assert _derive(shards)


def test_a_split_that_is_made_again_loses_its_columns(small_root: Path, shards: Path) -> None:
    _derive(shards, split="val")
    prepare(small_root, shards, splits=["val"], frames=1, size=16, num_workers=1, overwrite=True, progress=False)
    assert DerivedColumn.find(Shards(shards / "val"), SMALL) is None


def test_damage_is_found_and_named(shards: Path) -> None:
    _derive(shards)
    folder = folder_of(Shards(shards / "train"), SMALL)
    assert verify(shards).ok
    content = bytearray((folder / "0.bin").read_bytes())
    content[100] ^= 0xFF
    (folder / "0.bin").write_bytes(content)
    assert "0.bin is damaged at the clip clip0000000_0; delete" in verify(shards).errors[0]
    (folder / "0.bin").write_bytes(content[:-10])
    dataset = served(shards).dataset("train")
    with pytest.raises(
        ValueError, match=r"0\.bin is damaged at the clip clip0000025_25; delete .* `avcap data derive`"
    ):
        dataset[25]
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "id_hash": "other"}))
    with pytest.raises(ValueError, match="is of other clips; delete it"):
        served(shards).dataset("train")
    (folder / "index.json").write_text("{")
    with pytest.raises(ValueError, match=r"index\.json is damaged; delete"):
        served(shards).dataset("train")


def test_the_verb_takes_a_front_end_or_configs(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "derive", str(shards), "--frontend=KaldiFbank", "--frontend.mels=8", "--num_workers=0"])
    assert f"train: {SMALL.fingerprint} written\nval: {SMALL.fingerprint} written\n" in capsys.readouterr().out
    main(["data", "derive", str(shards), f"--config={REPOSITORY / 'configs/lavcap.yaml'}", "--num_workers=0"])
    assert f"train: {KaldiFbank(64).fingerprint} written" in capsys.readouterr().out
    for name, expected in (
        ("avcap", KaldiFbank(128)),
        ("dali/paper/1b_alignment", KaldiFbank(128, 1024, -5.081, 4.4849)),
    ):
        assert frontend_of(REPOSITORY / "configs" / f"{name}.yaml") == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Name a front end: --config CONFIG, or --frontend KaldiFbank"),
        (["--config=nowhere.yaml"], "There is no config nowhere.yaml"),
        (["--config=configs/dali/1a_prefix.yaml"], "has no model.init_args.audio_encoder whose front end could be run"),
        (["--frontend=Waveform", "--frontend.sample_rate=8000"], "hold 16000 samples a second and Waveform reads 8000"),
    ],
)
def test_bad_input_is_told(
    options: list[str], message: str, shards: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit, match="1"):
        main(["data", "derive", str(shards), *options])
    assert message in capsys.readouterr().err


def test_nothing_is_derived_of_a_split_without_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avcap.scenes.stills import write_stills

    write_stills(out=tmp_path, count=2, val=1, size=32, num_workers=0, progress=False)
    monkeypatch.setattr(derived, "run_jobs", None)
    assert not _derive(tmp_path)
