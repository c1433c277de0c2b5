from __future__ import annotations

import json

import pytest

from avcap.metrics.bounds import constant_caption, human_bound
from avcap.metrics.evaluate import evaluate
from avcap.metrics.results import make_results, read_results, write_results
from avcap.metrics.tokenise import PlainTokenizer
from avcap.study.report.table import Row, results_table, rows_of

REFERENCES = {
    "a_0": ["a dog barks", "a dog is barking"],
    "b_1": ["rain falls", "it rains"],
    "c_2": ["a bell", "bells ring"],
}
PREDICTIONS = {"a_0": "a dog barks", "b_1": "rain falls", "c_2": "wind blows"}
OPTIONS = {"metrics": ["bleu_4", "rouge_l", "cider_d", "vocab"], "tokenizer": PlainTokenizer()}


def results() -> dict:
    return make_results(
        "lavcap",
        evaluate(PREDICTIONS, REFERENCES, **OPTIONS),
        human_bound=human_bound(REFERENCES, **OPTIONS),
        constant=constant_caption(list(PREDICTIONS.values()), REFERENCES, **OPTIONS),
        settings={"num_beams": 4},
    )


def test_results_survive_the_file(tmp_path):
    write_results(tmp_path / "run" / "results.json", results())
    found = read_results(tmp_path / "run" / "results.json")
    assert found == json.loads(json.dumps(results()))
    assert found["clips"] == 3
    assert found["constant"]["caption"] in PREDICTIONS.values()
    assert found["versions"]["aac-metrics"] == "0.5.5"
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["results.json"]


def test_a_bound_on_other_clips_is_refused():
    fewer = {i: REFERENCES[i] for i in ("a_0", "b_1")}
    with pytest.raises(ValueError, match="use the same clips"):
        make_results("x", evaluate(PREDICTIONS, REFERENCES, **OPTIONS), human_bound=human_bound(fewer, **OPTIONS))


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"name": "x"}')
    with pytest.raises(ValueError, match=r"results\.json: no results file, scores, clips, id_hash is missing"):
        read_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is damaged: it is no JSON"):
        read_results(tmp_path / "results.json")
    with pytest.raises(FileNotFoundError, match="avcap test"):
        read_results(tmp_path / "absent.json")


def test_table():
    table = results_table(rows_of(results()))
    lines = table.splitlines()
    assert lines[0] == "Scores × 100."
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert cells[0] == ["system", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D", "clips", "clip ids"]
    assert [row[0] for row in cells[2:4]] == ["lavcap", "human bound"]
    assert cells[4][0].startswith("constant: “")
    assert cells[2][2] == "-"  # METEOR was not asked for: absent, not zero
    assert float(cells[2][4]) == pytest.approx(100 * results()["scores"]["cider_d"], abs=0.05)
    assert len({len(line) for line in lines[2:]}) == 1


def test_table_shows_further_metrics_and_warns_of_other_clips():
    rows = [Row("a", {"cider_d": 0.5, "spice": 0.1}, 944, "aaaa"), Row("b", {"cider_d": 0.4}, 975, "bbbb")]
    table = results_table(rows)
    assert "SPICE" in table
    assert "cannot be compared" in table
    assert "cannot be compared" not in results_table(rows[:1])
    chosen = results_table(
        [Row("a", {"vocab": 120.0, "unique_ratio": 0.512}, 2, "aaaa")], metrics=["vocab", "unique_ratio"]
    )
    assert "| 120 |" in " ".join(chosen.split())
    assert "0.51" in chosen
    with pytest.raises(ValueError, match="no results"):
        results_table([])
