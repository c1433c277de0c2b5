"""The notebooks run from top to bottom on tiny runs, and are stored without what they show."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from avcap.cli import main
from tests.end_to_end.program import ENVIRONMENT, REPOSITORY
from tests.end_to_end.test_dali import QUICK, SMALL, STEP
from tests.systems.dali_place import make_place

FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PATIENCE = 300  # seconds a cell


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def run(name: str, *, folder: Path, **settings: str) -> list[nbformat.NotebookNode]:
    """The outputs of a notebook, executed in a folder with the settings ``AVCAP_...``; a cell that fails raises."""
    notebook = read(FOLDER / f"{name}.ipynb")
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}})
    path = f"{ENVIRONMENT['PYTHONPATH']}{os.pathsep}{FOLDER}"  # Jupyter itself starts in the folder of the notebooks
    client.execute(
        env={**ENVIRONMENT, "PYTHONPATH": path, **{f"AVCAP_{key}": value for key, value in settings.items()}}
    )
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(outputs: list[nbformat.NotebookNode]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


def texts(outputs: list[nbformat.NotebookNode]) -> str:
    """Tables, and what was printed."""
    return "\n".join(output.get("data", {}).get("text/markdown", "") + output.get("text", "") for output in outputs)


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {"compare_systems", "dali_alignment", "ot_assignment_maps"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs_and_with_text_before_each_cell(path: Path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for i in code:
        assert notebook.cells[i].outputs == []
        assert notebook.cells[i].execution_count is None
        assert not notebook.cells[i].metadata
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert code[:2] == [1, 2]  # title, parameters, imports
    assert "os.environ" in notebook.cells[1].source
    assert all(notebook.cells[i - 1].cell_type == "markdown" for i in code[2:])


@pytest.mark.parametrize("path", [*NOTEBOOKS, *sorted((FOLDER / "figures").glob("*.py"))], ids=lambda path: path.stem)
def test_reads_the_library_and_no_verb(path: Path):
    assert "avcap.commands" not in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_assignment_maps(tiny_run: Path, demo_root: Path):
    checkpoint = tiny_run / "checkpoints" / "last.ckpt"
    shards = demo_root / "shards"
    shown = run("ot_assignment_maps", folder=FOLDER, CHECKPOINT=str(checkpoint), SHARDS=str(shards), CLIP="")
    assert pictures(shown) == 6
    rows = [line.split("|")[1].strip() for line in texts(shown).splitlines() if line.startswith("| ")]
    assert rows == ["epsilon", ":------", "0.02", "0.1", "0.5"]


@pytest.fixture
def second_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run that says nothing but "a dog barks", with half the scores."""
    copy = tmp_path / "second"
    shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("checkpoints", "tensorboard", "maps"))
    rows = [json.loads(line) for line in (copy / "predictions.jsonl").read_text().splitlines()]
    for row in rows:
        row["caption"] = "a dog barks"
        row["scores"]["cider_d"] = row["scores"]["cider_d"] / 2 - 0.1
    (copy / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = json.loads((copy / "results.json").read_text())
    results["scores"]["cider_d"] = sum(row["scores"]["cider_d"] for row in rows) / len(rows)
    (copy / "results.json").write_text(json.dumps(results))
    return copy


@pytest.mark.slow
def test_compare_two_systems(tiny_run: Path, second_run: Path, demo_root: Path):
    runs = os.pathsep.join(map(str, (tiny_run, second_run)))
    shown = run("compare_systems", folder=FOLDER, RUNS=runs, SHARDS=str(demo_root / "shards"), CLIPS="2")
    assert pictures(shown) == 4  # differences, two clips, words
    text = texts(shown)
    assert r"| tiny\_run (baseline) |" in text
    assert "look-alike (" in text
    assert text.count("| a dog barks ") == 2
    interval = next(line for line in text.splitlines() if line.startswith("| second") and "[" in line)
    assert "−" in interval  # it is the worse one


@pytest.mark.slow
def test_one_system_alone_is_told(tiny_run: Path, demo_root: Path):
    shown = run("compare_systems", folder=FOLDER, RUNS=str(tiny_run), SHARDS=str(demo_root / "shards"))
    assert "Only tiny_run was tested on these clips: name more runs in RUNS" in texts(shown)
    assert pictures(shown) == 1  # words


@pytest.mark.slow
def test_alignment(demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = make_place(tmp_path / "place", demo_root)
    shown = run("dali_alignment", folder=place, STEPS="3", CLIP="")
    assert pictures(shown) == 1  # the live part
    assert texts(shown).count("There is no alignment below runs/dali: run `make demo-dali`.") == 3

    tower = {"class_path": "LlavaVision", "init_args": {"model": None, "config": "configs/llm/llava_demo.json"}}
    random = place / "random.yaml"
    sound = {"class_path": "DALIAudio", "init_args": {"pretrained": None}}
    parts = {"audio_encoder": sound, "visual_encoder": tower}
    random.write_text(json.dumps({"model": {"class_path": "Alignment", "init_args": parts}}))
    monkeypatch.chdir(place)
    files = ("--config", "configs/dali/1b_alignment.yaml", "--config", str(random))
    main(["fit", *files, *STEP, *QUICK, *SMALL, "--trainer.default_root_dir", "runs/dali/ot/0/alignment"])
    shown = run("dali_alignment", folder=place, STEPS="3", CLIP="")
    assert pictures(shown) == 5  # live, mean tokens, distances, one clip's tokens, its plan
    assert "no alignment" not in texts(shown)
