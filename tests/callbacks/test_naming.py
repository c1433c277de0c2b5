from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.callbacks.naming import AddNaming
from avcap.metrics.evaluate import Scores
from avcap.scenes.naming import naming_scores

EVENTS = {"a": [{"kind": "bark", "audio": [0, 1]}], "b": [{"kind": "rain", "audio": [0, 1]}]}
REFERENCES = {"a": ["a dog barks", "a dog"], "b": ["rain falls"]}
SCORES = Scores({"cider_d": 1.0}, {"a": {"cider_d": 1.0}, "b": {"cider_d": 1.0}}, {}, 2, "hash", "plain")


def test_naming_is_added_to_all_clips_and_to_each():
    scores = AddNaming(EVENTS, REFERENCES)(SCORES, {"a": "a dog barks", "b": "a dog barks"})
    assert scores.corpus == {"cider_d": 1.0, "named_recall": 0.5, "named_precision": 0.5, "named_any": 0.5}
    assert scores.clips["b"] == {"cider_d": 1.0, "named_recall": 0.0, "named_precision": 0.0}
    assert SCORES.clips["b"] == {"cider_d": 1.0}  # what was given stays as it was


@pytest.mark.parametrize(
    ("events", "references"),
    [
        ({}, REFERENCES),
        ({"a": EVENTS["a"]}, REFERENCES),
        ({"a": [{"audio": [0, 1]}], "b": [{"audio": [0, 1]}]}, REFERENCES),  # times alone
        (EVENTS, {"a": ["a brown dog in a park"], "b": ["a grey cloud in a field"]}),  # they tell what is seen
    ],
)
def test_scores_stay_as_they_are_where_names_cannot_be_checked(events, references):
    assert AddNaming(events, references)(SCORES, {"a": "a dog barks", "b": "rain falls"}) is SCORES


def test_a_test_writes_naming_beside_the_other_scores(tiny_run: Path, demo_root: Path):
    results = json.loads((tiny_run / "results.json").read_text())
    rows = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
    scenes = map(json.loads, (demo_root / "events.jsonl").read_text().splitlines())
    expected = naming_scores({row["id"]: row["caption"] for row in rows}, {s["id"]: s["events"] for s in scenes})
    assert {name: results["scores"][name] for name in expected.corpus} == expected.corpus
    assert all(row["scores"].items() >= expected.clips[row["id"]].items() for row in rows)
    assert results["human_bound"]["named_precision"] == 1
    assert results["human_bound"]["named_recall"] > 0.9 > results["constant"]["scores"]["named_recall"] > 0
