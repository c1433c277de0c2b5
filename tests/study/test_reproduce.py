"""The papers' tables, as they are planned for a user's folders."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from avcap.cli import main
from avcap.commands.reproduce import needed, reproduce
from avcap.config_files import whole_config
from avcap.study.reproduce.compare import table_text
from avcap.study.reproduce.papers import published_scores, read_papers
from avcap.study.reproduce.places import relocated
from avcap.study.reproduce.plan import CONFIGS, Reproduction
from avcap.study.reproduce.releases import read_releases
from tests.study.ablation.conftest import REPOSITORY
from tests.test_readme import take

SYSTEMS = ("avcap", "lavcap", "dali")


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)  # configs are named from there


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """AudioCaps' caption files, AudioSet's, and empty files under the published names."""
    data, weights, audioset = (tmp_path / name for name in ("data", "weights", "audioset"))
    for folder, splits in ((data, ("train", "val", "test")), (audioset, ("train",))):
        folder.mkdir()
        for split in splits:
            (folder / f"{split}.csv").write_text("audiocap_id,youtube_id,start_time,caption\n1,a,30,a dog barks\n")
    weights.mkdir()
    for release in read_releases().values():
        path = weights / release.files[0]
        path.touch() if path.suffix else path.mkdir()
    return {"data": data, "weights": weights, "audioset": audioset, "balanced": audioset}


def plan(system: str, folders: dict[str, Path], tmp_path: Path, **chosen) -> Reproduction:
    return Reproduction(system, out=tmp_path / "out", **folders, **chosen)


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_command_is_taken_and_reads_what_was_made_before(system: str, released: bool, folders, tmp_path: Path):
    made = plan(system, folders, tmp_path, released=released)
    there = [str(folder) for folder in folders.values()]
    for step in made.steps():
        for words in step.commands:
            if words[0] != "avcap":
                continue
            take(shlex.join(words))
            named = {
                word
                for config in step.configs
                for word in texts(whole_config(config))
                if word.startswith(str(tmp_path))
            }
            outside = {word for word in named if not word.startswith(tuple(there))}
            assert outside <= {*map(str, made_by(step.needs)), *map(str, made_by([step.makes]))}, words
        there += [str(step.makes), str(step.makes.parent)]


def made_by(needs) -> list[Path]:
    """The files, and the folder of the shards beside whose marks they stand."""
    return [path for need in needs for path in (need, need.parent)]


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_that_is_missing_is_told_with_its_place(system: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", system, "--data", str(tmp_path), "--weights", str(tmp_path), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    out = capsys.readouterr().out
    for release in Reproduction(system, tmp_path, tmp_path, tmp_path / "out").releases.values():
        assert release.title in out
        assert release.place in out or release.package
    assert "put train.csv" in out
    assert not list((tmp_path / "out").glob("weights/*"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_is_missing_where_all_is_there(system: str, folders, tmp_path: Path):
    found = [f for f in needed(plan(system, folders, tmp_path)) if f.problem and f.section != "metrics"]
    assert found == []


def test_clip_is_needed_only_without_the_authors_features(folders, tmp_path: Path):
    assert "clip" in plan("lavcap", folders, tmp_path).releases
    features = folders["data"] / "train/visual_feature"
    features.mkdir(parents=True)
    (features / "a.npy").touch()
    made = plan("lavcap", folders, tmp_path)
    assert "clip" not in made.releases
    assert not any("features" in words for step in made.steps() for words in step.commands)


def test_a_released_captioner_trains_nothing_and_reads_the_test_clips_alone(folders, tmp_path: Path):
    commands = [words for step in plan("lavcap", folders, tmp_path, released=True).steps() for words in step.commands]
    assert "fit" not in {words[1] for words in commands}
    assert {words[words.index("--splits") + 1] for words in commands if "--splits" in words} == {"[test]"}


def test_a_row_sets_what_it_is_whatever_the_config_says(folders, tmp_path: Path):
    made = plan("avcap", folders, tmp_path, rows=["tuned_1", "frozen_8"])
    steps = [step for step in made.steps() if step.configs]
    assert [step.makes.parent.parent.name for step in steps] == ["tuned_1", "frozen_8"]
    for step, frames, frozen in zip(steps, (1, 8), (False, True), strict=True):
        overlay = yaml.safe_load(step.configs[1].read_text())
        assert overlay["model"]["init_args"]["decoder"]["init_args"]["frozen"] is frozen
        assert overlay["data"]["init_args"]["frames"]["count"] == frames


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"rows": ["frozen_5"]}, "no row 'frozen_5'; choose of frozen_4"),
        ({"rows": ["tuned_1"], "released": True}, "the other rows must be trained"),
    ],
)
def test_a_row_that_is_not_there_is_told(chosen, words: str, folders, tmp_path: Path):
    with pytest.raises(ValueError, match=words):
        plan("avcap", folders, tmp_path, **chosen)


def test_settings_are_laid_over_the_config_of_the_same_name(folders, tmp_path: Path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "1a_prefix.yaml").write_text("trainer: {max_steps: 1}\n")
    steps = plan("dali", folders, tmp_path, settings=own).steps()
    named = [step.makes.name for step in steps if own / "1a_prefix.yaml" in step.configs]
    assert named == ["dali_prefix.safetensors"]


@pytest.mark.parametrize(
    ("system", "config", "devices", "batches"),
    [("avcap", "avcap", 8, 1), ("avcap", "avcap", 1, 8), ("lavcap", "lavcap", 2, 4), ("dali", "1b_alignment", 1, 4)],
)
def test_a_step_has_as_many_clips_as_published(system, config, devices, batches, folders, tmp_path: Path):
    steps = plan(system, folders, tmp_path, devices=devices).steps()
    overlays = [
        path
        for step in steps
        for path in step.configs
        if path.parent.name == "configs" and path.is_relative_to(tmp_path)
    ]
    (trainer,) = [
        yaml.safe_load(path.read_text())["trainer"]
        for path in dict.fromkeys(overlays)
        if path.stem in (config, next(iter(read_papers()[system].rows)))
        and "accumulate_grad_batches" in yaml.safe_load(path.read_text())["trainer"]
    ]
    assert trainer == {"devices": devices, "accumulate_grad_batches": batches}


def test_devices_that_do_not_make_a_step_are_told(folders, tmp_path: Path):
    with pytest.raises(ValueError, match="do not make the 64 clips of a step"):
        plan("avcap", folders, tmp_path, devices=3).steps()


def test_lists_and_names_below_a_place_are_relocated():
    settings = {"a": ["checkpoints/x.pt", 1], "b": "checkpoints", "c": "checkpoints_2/x", "d": {"e": None}}
    assert relocated(settings, {"checkpoints": "/w"}) == {"a": ["/w/x.pt", 1], "b": "/w"}


def test_what_the_configs_name_is_imported_or_needed():
    """Every weights file of the paper configs is made by a step; every hub model is a release."""
    releases = read_releases().values()
    made = {f"checkpoints/{release.makes}" for release in releases} | {release.named for release in releases}
    configs = [CONFIGS["avcap"], CONFIGS["lavcap"], *Path("configs/dali/paper").rglob("*.yaml")]
    named = {
        text
        for path in configs
        for text in texts(whole_config(path))
        if text.startswith("checkpoints/") or text.endswith("-hf")
    }
    assert named <= made
    assert len(named) > 4


def results(folder: Path, cider: float) -> None:
    """Write the results of a test whose checkpoint was chosen by the test clips."""
    folder.mkdir(parents=True)
    chosen = {"by": "val/cider_d", "split": "test", "clips": 944, "on_test": True}
    content = {"name": "x", "scores": {"cider_d": cider, "meteor": 0.25}, "clips": 944, "id_hash": "77a6dea5aa85"}
    content |= {
        "settings": {
            "generation": {"num_beams": 4},
            "checkpoint": "best.ckpt",
            "seed": int(folder.name),
            "selection": chosen,
            "split": "test",
        },
        "left_out": {"spice": "no model"},
    }
    (folder / "results.json").write_text(json.dumps(content))


def test_our_rows_stand_beside_the_papers(folders, tmp_path: Path):
    made = plan("lavcap", folders, tmp_path, seeds=[42, 43])
    for seed, cider in ((42, 0.8), (43, 0.9)):
        results(made.folder("lavcap", seed), cider)
    text = table_text(made)
    (here,) = [line for line in text.splitlines() if "here" in line and line.startswith("|")]
    assert "85.0 ± 7.1" in here
    assert "25.0 ± 0.0" in here
    assert here.endswith("|   944 |")
    assert "clip ids: 77a6dea5aa85" in text
    assert "seed: 43" in text
    assert "val/cider_d on test (944 clips), selected on test" in text
    assert "best epoch on the test list" in text
    assert "left out: spice" in text


def test_published_scores_have_a_source():
    for system, paper in read_papers().items():
        for name, row in paper.rows.items():
            assert published_scores(system, name) is row.scores
            assert not row.scores or row.source
            assert set(row.scores) <= set(paper.metrics)
    with pytest.raises(ValueError, match="choose of avcap, lavcap, dali"):
        published_scores("git", "base")


def test_a_dry_run_prints_the_commands_that_are_left(folders, tmp_path: Path, capsys: pytest.CaptureFixture):
    options = {"data": folders["data"], "weights": folders["weights"], "out": tmp_path / "out", "dry_run": True}
    reproduce("avcap", **options)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("avcap ")]
    assert [line.split()[1] for line in lines] == ["weights", "weights", "data", "check", "fit", "test"]
    made = tmp_path / "out/weights/cav_mae.safetensors"
    made.parent.mkdir(parents=True)
    made.touch()
    reproduce("avcap", **options)
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("avcap ")]) == 5


def test_status_tells_how_far_every_step_is(folders, tmp_path: Path, capsys: pytest.CaptureFixture):
    reproduce("avcap", data=folders["data"], weights=folders["weights"], out=tmp_path / "out", status=True)
    assert capsys.readouterr().out.count("not started") == 4
