"""What a start finds in the folder of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from avcap.callbacks import WholeCheckpoints
from avcap.run_folder import RunFolder, differing

CONFIG = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 2, "max_steps": -1, "devices": 1},
    "model": {"class_path": "avcap.Captioner", "init_args": {"fusion": {"class_path": "A", "init_args": {"width": 3}}}},
    "data": {"init_args": {"shards": "data/demo", "num_workers": 2, "seed": 0}},
}


def changed(path: str, value: object) -> dict:
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    *parents, last = path.split(".")
    inner = config
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return config


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder in which a run of three steps has been."""
    folder = tmp_path / "run"
    callbacks = {
        "SaveLast": {"finished": {"max_epochs": 2, "max_steps": -1}},
        "SaveBest": {"score": 1.0, "scored_by": "val/loss", "step": 2},
    }
    for name, step in (("best.ckpt", 2), ("last.ckpt", 3)):
        content = {"global_step": step, "epoch": 1, "callbacks": callbacks}
        WholeCheckpoints().save_checkpoint(content, folder / "checkpoints" / name)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def start(folder: Path, given: str | None, config: dict = CONFIG, *, overwrite: bool = False) -> str | None:
    return RunFolder(folder).start_of_fit(given, config, overwrite=overwrite)


@pytest.mark.parametrize("given", [None, "last"])
@pytest.mark.parametrize("left", [(), ("log.txt", "status.json"), ("config.yaml",)])
def test_a_run_begins_where_nothing_can_be_lost(tmp_path: Path, given: str | None, left: tuple[str, ...]):
    for name in left:
        (tmp_path / name).write_text("{}")
    assert start(tmp_path, given) is None


@pytest.mark.parametrize("kept", ["checkpoints/best.ckpt", "results.json", "predictions.jsonl", "captions_test.jsonl"])
def test_a_folder_that_holds_a_run_is_refused_with_the_ways_out(tmp_path: Path, kept: str):
    (tmp_path / kept).parent.mkdir(exist_ok=True)
    (tmp_path / kept).touch()
    for given in (None, "last"):
        with pytest.raises(ValueError, match=r"holds a run") as error:
            start(tmp_path, given)
        assert kept in str(error.value)
        assert all(way in str(error.value) for way in ("--ckpt_path", "--trainer.default_root_dir", "--overwrite"))
    assert start(tmp_path, None, overwrite=True) is None


def test_last_and_best_are_those_of_the_folder(run: Path):
    assert start(run, "last") == str(run / "checkpoints" / "last.ckpt")
    assert RunFolder(run).checkpoint("best") == str(run / "checkpoints" / "best.ckpt")
    with pytest.raises(FileNotFoundError, match=r"holds no best\.ckpt"):
        RunFolder(run.parent).checkpoint("best")


def test_a_checkpoint_of_another_folder_may_begin_a_run(run: Path, tmp_path: Path):
    given = str(run / "checkpoints" / "last.ckpt")
    assert start(tmp_path / "new", given, changed("model.class_path", "Other")) == given
    assert start(run, given) == given
    with pytest.raises(ValueError, match="holds a run"):
        start(run, str(tmp_path / "elsewhere.ckpt"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.init_args.fusion.class_path", "B"),
        ("model.init_args.fusion.init_args.width", 4),
        ("data.init_args.seed", 1),
    ],
)
def test_another_model_or_other_data_do_not_go_on(run: Path, key: str, value: object):
    with pytest.raises(ValueError, match="holds a run of another config") as error:
        start(run, "last", changed(key, value))
    assert key in str(error.value)
    assert str(value) in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("trainer.max_epochs", 9), ("trainer.devices", 4), ("data.init_args.num_workers", 0), ("data.init_args.new", 1)],
)
def test_what_decides_nothing_may_change(run: Path, key: str, value: object):
    assert start(run, "last", changed(key, value))
    assert not list(differing(CONFIG, changed(key, value)))


def test_a_damaged_config_is_named(run: Path):
    (run / "config.yaml").write_text("model: [")
    with pytest.raises(ValueError, match=r"config\.yaml is no YAML"):
        start(run, "last")


@pytest.mark.parametrize(
    ("limits", "finished"),
    [
        ({"max_epochs": 2}, True),
        ({"max_epochs": 1, "max_steps": -1}, True),
        ({"max_epochs": 3}, False),
        ({"max_epochs": None}, False),
        ({"max_epochs": -1}, False),
        ({"max_epochs": 2, "max_steps": 5}, True),
    ],
)
def test_a_finished_run_is_finished_until_more_is_asked(run: Path, limits: dict, finished: bool):
    last = str(run / "checkpoints" / "last.ckpt")
    assert RunFolder(run).is_finished(last, {"trainer": limits}) is finished


def test_files_are_set_aside_not_deleted(run: Path, caplog):
    (run / "notes.txt").touch()
    RunFolder(run).set_aside()
    assert {path.name for path in run.iterdir()} == {"old-1", "notes.txt"}
    assert (run / "old-1" / "checkpoints" / "last.ckpt").is_file()
    assert str(run / "old-1") in caplog.text
    RunFolder(run).set_aside()  # nothing is left to move
    assert not (run / "old-2").exists()


def test_overwrite_and_going_on_exclude_each_other(run: Path):
    for given in ("last", str(run / "checkpoints" / "best.ckpt")):
        with pytest.raises(ValueError, match="--overwrite"):
            start(run, given, overwrite=True)


def test_the_best_checkpoint_that_a_kill_kept_from_being_written_is_written(run: Path):
    last = run / "checkpoints" / "last.ckpt"
    states = {"SaveBest": {"score": 2.0, "scored_by": "val/loss", "step": 4}}
    WholeCheckpoints().save_checkpoint({"global_step": 4, "epoch": 2, "callbacks": states}, last)
    RunFolder(run).mend(str(last))
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == last.read_bytes()
