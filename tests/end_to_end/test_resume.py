"""A run that is killed anywhere goes on and ends as if nothing had been, and none of its files is lost by a second start."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from avcap.cli import main
from tests.end_to_end.kills import Killed, kill
from tests.end_to_end.program import options

SMALL = ("--data.init_args.clips.limit", "12", "--data.init_args.num_workers", "0", "--trainer.logger", "false")
QUICK = (*SMALL, "--trainer.num_sanity_val_steps", "0", "--last.every_n_steps", "2", "--samples.captions", "0")
FILES = ("last.ckpt", "best.ckpt")


def fit(demo_root: Path, run: Path, *more: str) -> None:
    main(["fit", *options(demo_root, run, *QUICK, *more)])


def contents(run: Path) -> dict[str, str]:
    """Hash the checkpoints: pytest would compare two of them byte by byte, for hours."""
    return {name: hashlib.sha256((run / "checkpoints" / name).read_bytes()).hexdigest() for name in FILES}


def checkpoint(run: Path, name: str = "last.ckpt") -> dict:
    return torch.load(run / "checkpoints" / name, weights_only=True)


@pytest.fixture(scope="module")
def whole(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs of three steps, each with a validation of two batches, that nothing stops. Not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    fit(demo_root, run)
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "at"),
    [
        ("on_train_start", 0),
        ("on_before_optimizer_step", 4),
        ("on_train_batch_end", 1),
        ("on_validation_batch_end", 1),
        ("on_validation_end", 1),
        ("on_train_epoch_end", 0),
    ],
)
def test_a_killed_run_ends_with_the_same_bytes(demo_root: Path, tmp_path: Path, whole: Path, hook: str, at: int):
    with pytest.raises(Killed):
        fit(demo_root, tmp_path, *kill(hook, at))
    fit(demo_root, tmp_path, "--ckpt_path", "last")
    assert contents(tmp_path) == contents(whole)


def test_last_is_of_the_end_and_best_of_the_best_score(whole: Path):
    last, best = checkpoint(whole), checkpoint(whole, "best.ckpt")
    assert (last["epoch"], last["global_step"]) == (1, 6)
    state = best["callbacks"]["SaveBest"]
    assert state["step"] == best["global_step"]
    assert last["callbacks"]["SaveBest"] == state
    assert last["callbacks"]["SaveLast"]["finished"] == {"max_epochs": 2, "max_steps": -1}


def test_a_finished_run_started_again_does_nothing_and_says_so(demo_root: Path, whole: Path, caplog):
    before = contents(whole)
    files = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    fit(demo_root, whole, "--ckpt_path", "last")
    assert f"The run in {whole} is finished" in caplog.text
    assert contents(whole) == before
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == files


def test_a_second_run_in_a_folder_is_refused(demo_root: Path, whole: Path, capsys: pytest.CaptureFixture):
    before = contents(whole)
    for more in ((), ("--ckpt_path", "last", "--model.init_args.fusion", "TimeConcat")):
        with pytest.raises(SystemExit) as stop:
            fit(demo_root, whole, *more)
        assert stop.value.code == 1
        assert f"{whole} holds a run" in capsys.readouterr().err
    assert contents(whole) == before


def test_overwrite_sets_the_old_run_aside_and_a_larger_number_of_epochs_goes_on(
    demo_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Without a validation, too: the last state is the best then."""
    blind = ("--trainer.limit_val_batches", "0", "--trainer.max_epochs")
    fit(demo_root, tmp_path, *blind, "1")
    assert "No validation scored this run" in caplog.text
    assert contents(tmp_path)["last.ckpt"] == contents(tmp_path)["best.ckpt"]
    fit(demo_root, tmp_path, *blind, "2", "--ckpt_path", "last")
    assert checkpoint(tmp_path)["global_step"] == 6
    fit(demo_root, tmp_path, "--overwrite", *blind, "1")
    assert checkpoint(tmp_path)["global_step"] == 3
    assert checkpoint(tmp_path / "old-1")["global_step"] == 6
    assert (tmp_path / "old-1" / "config.yaml").is_file()


@pytest.mark.parametrize("option", ["fast_dev_run", "enable_checkpointing"])
def test_a_trial_leaves_a_run_alone(demo_root: Path, tmp_path: Path, whole: Path, option: str):
    run = whole if option == "fast_dev_run" else tmp_path
    value = "true" if option == "fast_dev_run" else "false"
    before = contents(whole)
    fit(demo_root, run, f"--trainer.{option}", value, "--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1")
    assert contents(whole) == before
    assert not list(tmp_path.rglob("*.ckpt"))


def test_where_the_score_cannot_be_the_loss_decides(demo_root: Path, tmp_path: Path, caplog):
    """CIDEr-D needs two clips."""
    one = ("--trainer.limit_val_batches", "1", "--data.init_args.eval_batch_size", "1", "--trainer.max_epochs", "1")
    fit(demo_root, tmp_path, *one)
    assert "val/cider_d is not known of this validation; val/loss decides" in caplog.text
    assert checkpoint(tmp_path, "best.ckpt")["callbacks"]["SaveBest"]["scored_by"] == "val/loss"


@pytest.mark.parametrize("where", ["flag", "YAML"])
def test_a_limit_of_one_is_one_batch(demo_root: Path, tmp_path: Path, where: str):
    (tmp_path / "one.yaml").write_text("trainer: {limit_train_batches: 1, limit_val_batches: 0, max_epochs: 1}")
    flags = ("--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "0", "--trainer.max_epochs", "1")
    fit(demo_root, tmp_path / "run", *(flags if where == "flag" else ("--config", str(tmp_path / "one.yaml"))))
    assert checkpoint(tmp_path / "run")["global_step"] == 1


def test_options_that_bypass_the_system_are_not_offered(demo_root: Path, tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        fit(demo_root, tmp_path, "--optimizer", "SGD")
    assert stop.value.code == 2
    assert "there is no option --optimizer" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_batch_end"])
def test_a_killed_worker_ends_the_run_with_its_state_saved(
    demo_root: Path, tmp_path: Path, hook: str, capsys: pytest.CaptureFixture
):
    """What a worker has sent before it died is used; then there is no more."""
    loads = (
        "--data.init_args.num_workers",
        "1",
        "--data.init_args.eval_batch_size",
        "1",
        "--last.every_n_steps",
        "100",
    )
    epochs = ("--trainer.max_epochs", "1", "--data.init_args.clips.limit", "32")
    with pytest.raises(SystemExit) as stop:
        fit(demo_root, tmp_path, *loads, *epochs, *kill(hook, 0, worker=True))
    said = capsys.readouterr().err
    assert stop.value.code == 1, said
    assert "A process that loads the data was killed" in said
    assert "--ckpt_path last" in said
    saved = checkpoint(tmp_path)["global_step"]
    assert saved == 8 if "validation" in hook else 0 < saved < 8
    fit(demo_root, tmp_path, *epochs, "--ckpt_path", "last")
    assert checkpoint(tmp_path)["global_step"] == 8
    assert checkpoint(tmp_path)["callbacks"]["SaveBest"]["step"] == 8
