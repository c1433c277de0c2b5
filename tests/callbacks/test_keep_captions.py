"""Captions of a test or prediction that dies: kept, and not made twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from avcap.callbacks.keep_captions import append_rows, read_appended, weights_hash
from avcap.cli import main
from avcap.decoders.causal_lm import CausalLMDecoder
from tests.end_to_end.kills import Killed, kill
from tests.end_to_end.program import DECODER, options

QUICK = ("--trainer.logger", "false", "--data.init_args.num_workers", "0")


def words(demo_root: Path, tiny_run: Path, verb: str, folder: Path, *more: str) -> list[str]:
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    return [verb, *options(demo_root, folder, *QUICK, *checkpoint, *more)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many clips each call of the search decodes."""
    calls: list[int] = []
    for name in ("generate", "generate_nbest"):
        real = getattr(CausalLMDecoder, name)

        def counted(self, tokens, *args, real=real, **settings):
            calls.append(len(tokens.x))
            return real(self, tokens, *args, **settings)

        monkeypatch.setattr(CausalLMDecoder, name, counted)
    return calls


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize(("verb", "more"), [("test", ()), ("predict", ("--predictions.nbest", "2"))])
def test_a_killed_verb_decodes_only_the_rest_and_writes_the_same_bytes(
    demo_root: Path, tiny_run: Path, tmp_path: Path, decoded: list[int], verb: str, more: tuple[str, ...]
):
    """Nine clips in batches of three; it dies after two."""
    main(words(demo_root, tiny_run, verb, tmp_path / "whole", *more))
    assert decoded == [3, 3, 3]
    decoded.clear()
    with pytest.raises(Killed):
        main(words(demo_root, tiny_run, verb, tmp_path / "run", *more, *kill(f"on_{verb}_batch_start", 2)))
    (part,) = (tmp_path / "run").glob(f"captions_{verb}_*.parts/0.jsonl")
    made = json.loads(part.read_text().splitlines()[0])["made_by"]
    assert len(made["weights"]) == 64
    assert made["generation"]["num_beams"] == 2
    with part.open("a") as torn:
        torn.write('{"id": "half')
    main(words(demo_root, tiny_run, verb, tmp_path / "run", *more))
    assert decoded == [3, 3, 3]
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_captions_of_other_settings_are_not_taken(demo_root: Path, tiny_run: Path, tmp_path: Path, decoded: list[int]):
    with pytest.raises(Killed):
        main(words(demo_root, tiny_run, "test", tmp_path, *kill("on_test_batch_start", 2)))
    main(words(demo_root, tiny_run, "test", tmp_path, f"{DECODER}.generation", "{num_beams: 1, max_new_tokens: 5}"))
    assert decoded == [3, 3, 3, 3, 3]
    assert len(list(tmp_path.glob("captions_test_*.parts"))) == 1  # of the first settings


def test_a_test_of_one_clip_keeps_the_scores_that_can_be(demo_root: Path, tiny_run: Path, tmp_path: Path, caplog):
    main(words(demo_root, tiny_run, "test", tmp_path, "--data.init_args.clips.limit", "1"))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["clips"] == 1
    assert "bleu_4" in results["scores"]
    assert results["constant"] is None
    assert "constant caption is left out" in caplog.text
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 1


def test_scores_that_fail_cost_no_caption(
    demo_root: Path, tiny_run: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch, capsys
):
    (tmp_path / "results.json").write_text("{}")  # of an earlier test

    def fail(*args, **settings):
        raise ValueError("the metric is broken")

    with monkeypatch.context() as broken:
        broken.setattr("avcap.metrics.caption_scores.evaluate", fail)
        with pytest.raises(SystemExit) as stop:
            main(words(demo_root, tiny_run, "test", tmp_path))
    assert stop.value.code == 1
    assert "avcap: error: the metric is broken" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    tested = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
    assert rows == [{key: value for key, value in row.items() if key != "scores"} for row in tested]
    assert not (tmp_path / "results.json").exists()
    main(words(demo_root, tiny_run, "test", tmp_path))
    assert decoded == [3, 3, 3]
    assert (tmp_path / "results.json").exists()
    assert not list(tmp_path.glob("*.parts"))


def test_rows_after_a_torn_line_are_read_and_the_first_of_a_clip_counts(tmp_path: Path):
    append_rows(tmp_path / "0.jsonl", [{"made_by": {}}, {"id": "a", "caption": "é\u2028"}])
    (tmp_path / "0.jsonl").write_bytes((tmp_path / "0.jsonl").read_bytes() + b'{"id": "b", "caption": "\xc3')
    append_rows(tmp_path / "0.jsonl", [{"id": "c", "caption": "rain"}])
    append_rows(tmp_path / "1.jsonl", [{"id": "a", "caption": "another"}])
    assert {clip: row["caption"] for clip, row in read_appended(tmp_path).items()} == {"a": "é\u2028", "c": "rain"}


def test_any_change_of_the_weights_changes_their_hash():
    model = torch.nn.BatchNorm1d(3)
    before = weights_hash(model)
    assert weights_hash(torch.nn.BatchNorm1d(3)) == before
    model.running_mean[1] += 1e-6
    assert weights_hash(model) != before
