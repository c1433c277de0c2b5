from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from avcap.commands.score import human, read_references, score
from avcap.ids import id_hash
from avcap.metrics.predictions import write_predictions

CAPTIONS = {
    ("abcdefghijk", 20): ["A dog barks", "A dog is barking"],
    ("_bcdefghij_", 0): ["Rain falls", "It is raining"],
}
METRICS = ["bleu_1", "cider_d", "spice"]
HASH = id_hash(["abcdefghijk_20", "_bcdefghij__0"])


def write_csv(folder: Path) -> Path:
    path = folder / "test.csv"
    rows = [f"{n},{y},{s},{c}" for n, ((y, s), captions) in enumerate(CAPTIONS.items()) for c in captions]
    path.write_text("\n".join(["audiocap_id,youtube_id,start_time,caption", *rows]) + "\n")
    return path


def write_coco(folder: Path) -> Path:
    path = folder / "coco.json"
    images = [{"id": y, "audio_path": f"{y}_{s * 1000}_{s * 1000 + 10000}.wav"} for y, s in CAPTIONS]
    annotations = [{"id": "1", "image_id": y, "caption": c} for (y, _), captions in CAPTIONS.items() for c in captions]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def write_clotho(folder: Path) -> Path:
    path = folder / "clotho.csv"
    rows = [f"{y}_{s}.wav,{','.join(captions)}" for (y, s), captions in CAPTIONS.items()]
    path.write_text("\n".join(["file_name,caption_1,caption_2", *rows]) + "\n")
    return path


def write_jsonl(folder: Path) -> Path:
    path = folder / "references.jsonl"
    write_predictions(path, [{"id": f"{y}_{s}", "references": captions} for (y, s), captions in CAPTIONS.items()])
    return path


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AVCAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    write_predictions(
        path, [{"id": "abcdefghijk_20", "caption": "a dog barks"}, {"id": "_bcdefghij_", "caption": "rain"}]
    )
    return path


@pytest.mark.parametrize("write", [write_csv, write_coco, write_jsonl])
def test_json_from_every_kind_of_references(write, predictions, tmp_path, capsys):
    score(predictions, write(tmp_path), json=True, metrics=METRICS, human=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["id_hash"], found["tokenizer"]) == (2, HASH, "ptb")
    assert found["cider_d"] > 0
    assert found["human_cider_d"] > 0
    assert found["left_out"] == "spice"
    assert not any(isinstance(value, dict | list) for value in found.values())


def test_clotho_files_may_be_named_with_their_suffix(tmp_path, capsys):
    path = tmp_path / "mine.jsonl"
    write_predictions(
        path, [{"id": "abcdefghijk_20.wav", "caption": "a dog"}, {"id": "_bcdefghij__0", "caption": "rain"}]
    )
    score(path, write_clotho(tmp_path), json=True, metrics=["bleu_1"])
    assert json.loads(capsys.readouterr().out)["clips"] == 2


def test_human_bound_alone(tmp_path, capsys):
    human(write_csv(tmp_path), json=True, metrics=METRICS)
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["id_hash"]) == (2, HASH)
    assert found["bleu_1"] == pytest.approx(2 / 5 * math.exp(1 - 7 / 5), rel=1e-6)
    human(write_csv(tmp_path), metrics=METRICS, leave_one_out=True)
    assert "| human bound" in capsys.readouterr().out


def test_the_best_of_several_captions(tmp_path, capsys):
    path = tmp_path / "mine.jsonl"
    lines = [
        {"id": "abcdefghijk_20", "caption": "rain", "captions": ["rain", "a dog barks"]},
        {"id": "_bcdefghij_", "captions": ["rain falls", "a dog", "it is raining"]},
    ]
    write_predictions(path, lines)
    score(path, write_csv(tmp_path), json=True, metrics=METRICS, out=tmp_path / "scored.jsonl")
    found = json.loads(capsys.readouterr().out)
    assert found["nbest"] == 3
    assert found["cider_d"] < found["cider_d_max"]
    assert found["bleu_1_max"] == pytest.approx(1, abs=1e-6)
    scored = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert [(line["id"], line["caption"]) for line in scored] == [
        ("_bcdefghij__0", "rain falls"),
        ("abcdefghijk_20", "rain"),
    ]
    assert scored[1]["references"] == CAPTIONS["abcdefghijk", 20]
    assert scored[1]["scores"]["bleu_1"] < 0.1 < 0.9 < scored[1]["scores"]["bleu_1_max"]
    score(path, write_csv(tmp_path), metrics=METRICS)
    assert "| mine, best of 3 |" in capsys.readouterr().out


def test_scoring_is_light(predictions, tmp_path):
    code = (
        "import sys; from avcap.cli import main; main(sys.argv[1:]);"
        "print([m for m in ('torch', 'transformers', 'aac_metrics', 'matplotlib') if m in sys.modules])"
    )
    arguments = [
        "score",
        str(predictions),
        str(write_csv(tmp_path)),
        "--human",
        "--metrics",
        "[bleu_4,rouge_l,cider_d]",
    ]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_table(predictions, tmp_path, capsys):
    score(predictions, write_csv(tmp_path), metrics=METRICS, human=True)
    text = capsys.readouterr().out
    assert "Scores × 100" in text
    assert "| mine" in text
    assert "| human bound" in text
    assert HASH in text
    assert "METEOR" not in text  # only what was asked for


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("abcdefghijk", "x")], "1 of 2 clips have no prediction: _bcdefghij__0"),
        (
            [("abcdefghijk", "x"), ("abcdefghijk_20", "y"), ("_bcdefghij_", "z")],
            "more than one prediction: abcdefghijk_20",
        ),
        ([("abcdefghijk", "x"), ("_bcdefghij_", "z"), ("zzz", "y")], "without references: zzz"),
    ],
    ids=["missing", "double", "unknown"],
)
def test_wrong_ids_are_named(rows, message, tmp_path):
    path = tmp_path / "mine.jsonl"
    write_predictions(path, [{"id": i, "caption": c} for i, c in rows])
    with pytest.raises(ValueError, match=message):
        score(path, write_csv(tmp_path), metrics=METRICS)


def test_faulty_references_are_named(tmp_path):
    path = tmp_path / "references.jsonl"
    path.write_text('{"id": "x_0"}\n')
    with pytest.raises(ValueError, match=r"references\.jsonl, line 1: needs `id` and `references`"):
        read_references(path)
    path.write_text("")
    with pytest.raises(ValueError, match="holds no caption"):
        read_references(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x_0", "references": null}', "needs `id` and `references`"),
        ('{"id": "x_0", "references": []}', r"the field captions is \[\]; it must be a text, or a list of texts"),
        ('{"id": "x_0", "references": ["a", 3]}', r'the field captions is \["a", 3\]; it must'),
        ('{"id": null, "references": ["a"]}', "the field id is null; it must be a text or a whole number"),
        ('{"id": "x_0", "references": ["a"]', "not valid JSON"),
        ("[1]", "expected an object"),
    ],
)
def test_references_of_a_wrong_type_are_named_by_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "references.jsonl"
    path.write_text('{"id": "w_0", "references": "one"}\n' + line + "\n")
    with pytest.raises(ValueError, match=rf"references\.jsonl, line 2: .*{message}"):
        read_references(path)


@pytest.mark.parametrize("name", ["null", "true", "1.5", '["a"]'])
def test_a_prediction_needs_an_id(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"id": {name}, "caption": "x"}}\n')
    with pytest.raises(ValueError, match=r"mine\.jsonl, line 1: needs `id`"):
        score(path, write_csv(tmp_path), metrics=METRICS)


def test_clips_without_a_prediction_are_left_out_if_asked(tmp_path, capsys, caplog):
    path = tmp_path / "mine.jsonl"
    write_predictions(path, [{"id": "abcdefghijk", "caption": "a dog barks"}])
    with pytest.raises(ValueError, match=r"1 of 2 clips have no prediction: _bcdefghij__0 .*--partial true scores"):
        score(path, write_csv(tmp_path), metrics=["bleu_1"])
    score(path, write_csv(tmp_path), metrics=["bleu_1"], partial=True, json=True)
    result = json.loads(capsys.readouterr().out)
    assert (result["clips"], result["id_hash"]) == (1, id_hash(["abcdefghijk_20"]))
    assert "1 clips have no prediction and are left out: _bcdefghij__0" in caplog.text
    write_predictions(path, [{"id": "other", "caption": "a dog barks"}])
    with pytest.raises(ValueError, match="2 of 2 clips have no prediction"):
        score(path, write_csv(tmp_path), metrics=["bleu_1"], partial=True)


def test_real_files_agree_on_the_clips(shared_data):
    coco = read_references(shared_data / "audiocaps_official_layout" / "test_coco.json").captions
    official = read_references(shared_data / "audiocaps" / "test.csv").captions
    assert len(coco) == 944
    assert len(official) == 975
    assert set(coco) <= set(official)
    assert all(sorted(captions) == sorted(official[i]) for i, captions in coco.items())
