from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from avcap.ids import id_hash
from avcap.study.report.collect import CellRuns, Group, Run
from avcap.study.report.compose import find_faults, summarise
from avcap.study.report.config_differences import differences, uneven_seeds
from avcap.study.report.matrix_tables import (
    Table,
    TableEntry,
    configs_of,
    differences_of,
    map_quality_of,
    millions,
    results_of,
    scenes_of,
)
from avcap.study.report.text_tables import escape_latex, latex, markdown, results_csv

CLIPS = ["a", "b", "c", "d"]


def run(variant: str, seed: str, clips: list[float], *, axis: str = "axis", **fields) -> Run:
    mean = float(np.mean(clips))
    results = {
        "name": "x",
        "scores": {"cider_d": mean, "bleu_4": mean / 2, "vocab": 50.0},
        "clips": len(CLIPS),
        "id_hash": id_hash(CLIPS),
        "human_bound": {"cider_d": 2.0},
        "settings": {"parameters": {"trainable": 1_234_567, "all": 6_738_415_616}},
    }
    scores = zip(CLIPS, clips, strict=True)
    rows = {clip: {"caption": "x", "scores": {"cider_d": score, "bleu_4": 0.9}} for clip, score in scores}
    return Run(Path(f"/{axis}/{variant}/{seed}"), axis, variant, seed, {**results, **fields}, {}, rows)


@pytest.fixture
def group() -> Group:
    base = CellRuns("axis", "base", (run("base", "0", [1, 2, 3, 4]), run("base", "1", [2, 3, 4, 5])))
    better = CellRuns("axis", "better", (run("better", "0", [2.5, 3.5, 4.5, 5.5]),))
    return Group(id_hash(CLIPS), 4, (base, better))


def test_the_main_table(group):
    table = results_of(group, speeds={"axis/base": 123.4})
    assert table.head == ["system", "BLEU-4 ↑", "CIDEr-D ↑", "words", "trained", "parameters", "clips/s", "seeds"]
    base, better = table.rows
    assert [entry.text for entry in base] == [
        *("axis/base", "150.0 ± 35.4", "300.0 ± 70.7", "50", "1.23 M", "6.74 G", "123", "2")
    ]
    assert [entry.strong for entry in base] == [False] * 8
    assert (better[2].text, better[2].strong, better[2].value) == ("400.0", True, 4.0)
    assert [entry.text for entry in table.below[0]] == ["human bound", "–", "200.0", "", "", "", "", ""]


def test_differences_are_of_the_seeds_means_and_only_means_have_intervals(group):
    table = differences_of(group, "axis", group.cells[0])
    assert [row[0].text for row in table.rows] == ["base (baseline)", "better"]
    bleu, cider = table.rows[1][1:]
    # on every clip the difference is 2.5 - 1.5 = 1: the interval has no width
    assert (cider.text, cider.strong) == ("+100.0 [+100.0, +100.0]", True)
    assert (bleu.text, bleu.strong) == (
        "+50.0",
        False,
    )  # the clips' mean is 0.9: this corpus score is no mean of theirs
    assert "Differences to axis/base" in table.notes[0]
    assert table.notes[1].endswith("BLEU-4.")


def test_by_scene(group):
    table = scenes_of(group, {"a": "sound_alike", "b": "sound_alike", "c": "plain"})
    assert table.head == ["system", "other (1)", "plain (1)", "sound-alike (2)", "all"]
    assert [entry.text for entry in table.rows[0]] == ["axis/base", "450.0", "350.0", "200.0", "300.0"]
    assert [entry.strong for entry in table.rows[1]] == [False, True, True, True, True]
    assert "CIDEr-D × 100" in table.notes[0]
    assert scenes_of(group, {}) is None


def test_by_scene_a_system_without_the_score_has_dashes(group):
    for clip in group.cells[1].runs[0].rows.values():
        clip["scores"]["named_recall"] = 0.5
    table = scenes_of(group, {"a": "plain"}, metric="named_recall")
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["axis/base", "–", "–", "–"],
        ["axis/better", "50.0", "50.0", "50.0"],
    ]


def test_map_quality_is_of_the_runs_that_measured_it(group):
    assert map_quality_of(group) is None
    measured = {"map_mass": 0.7, "map_uniform": 0.6, "map_gain": 1.1, "map_gain_shuffled": 1.0, "map_skill": 0.25}
    runs = [run("maps", str(seed), [1, 2, 3, 4], maps={**measured, "map_gain": 1.1 + 0.2 * seed}) for seed in range(2)]
    table = map_quality_of(Group(group.id_hash, 4, (*group.cells, CellRuns("axis", "maps", tuple(runs)))))
    assert table.head == ["system", "mass on true pairs", "uniform", "gain", "gain, shuffled", "skill"]
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["axis/maps", "0.700 ± 0.000", "0.600 ± 0.000", "1.200 ± 0.141", "1.000 ± 0.000", "0.250 ± 0.000"]
    ]


def test_config_differences():
    one = {
        "seed_everything": 0,
        "data": {"init_args": {"seed": 0}},
        "trainer": {"max_epochs": 3, "default_root_dir": "runs/one"},
        "model": {"fusion": {"class_path": "OT", "init_args": {"epsilon": 0.1, "dropout": 0.0}}, "frozen": True},
    }
    two = {
        "seed_everything": 1,
        "data": {"init_args": {"seed": 1}},
        "trainer": {"max_epochs": 3, "default_root_dir": "runs/two"},
        "model": {"fusion": {"class_path": "Concat", "init_args": {"dropout": 0.5}}, "frozen": True, "prompt": None},
    }
    assert differences([one, two]) == {
        "model.fusion.class_path": ["OT", "Concat"],
        "model.fusion.init_args.dropout": ["0.0", "0.5"],  # epsilon belongs to one class only
        "model.prompt": ["–", "null"],
    }
    assert differences([one, one]) == {}


def test_faults_are_told(group):
    assert find_faults([group]) == []
    other = Group("fff", 9, (CellRuns("axis", "other", (run("other", "0", [1, 1, 1, 1], tokenizer="plain"),)),))
    (sentence,) = find_faults([group, other])
    assert f"2 different lists of clips, {group.id_hash} (4 clips), fff (9 clips)" in sentence
    mixed = Group(group.id_hash, 4, (*group.cells, *other.cells))
    assert "Words were not split alike" in find_faults([mixed])[0]
    assert summarise([group]) == f"2 systems, 1 to 2 seeds each, tested on 4 clips (ids {group.id_hash})."


def test_seeds_that_differ_in_more_than_the_seed_are_told(group):
    first = group.cells[0].runs[0]
    runs = [Run(first.folder, "axis", "base", str(n), first.results, {"seed_everything": n, "lr": n}) for n in (0, 1)]
    cell = CellRuns("axis", "base", tuple(runs))
    assert uneven_seeds(cell) == ["lr"]
    assert "The seeds of axis/base differ in more than the seed: lr." in find_faults([Group("f", 1, (cell,))])
    table = configs_of(Group("f", 1, (cell, CellRuns("axis", "b", (runs[1],)))), "axis")
    assert [[entry.text for entry in row] for row in table.rows] == [["lr", "0", "1"]]


AWKWARD = Table(
    r"50 % of_it & {more}",
    ["a_b", "CIDEr-D ↑", "#$~^\\|<>"],
    [
        [TableEntry('[x] “q” & "r"'), TableEntry("1.0 ± 0.2", 1.0, True), TableEntry("−3")],
        [TableEntry("*y"), TableEntry("–"), TableEntry("a|b*c`d\ne")],
    ],
    [[TableEntry("human_bound"), TableEntry("2"), TableEntry("")]],
    ["A note of\ntwo lines."],
)


def test_markdown_escapes():
    lines = markdown(AWKWARD).splitlines()
    assert lines[0] == r"## 50 % of\_it \& {more}"
    assert len({len(line) for line in lines[2:7]}) == 1
    assert r"\[x\] “q” \& " in lines[4]
    assert "**1.0 ± 0.2**" in lines[4]
    assert r"a\|b\*c\`d e" in lines[5]


@pytest.mark.parametrize(
    "said",
    ["a | b", "<script>alert(1)</script>", "`code` ``x`", "a\nb", "[x](http://y)", "see https://y.z or www.y.z, me@y.z"]
    + [
        "- item",
        "# head",
        "1. one",
        "> quote",
        "**b** __c__ ~~d~~",
        "&lt;b&gt;",
        "\\|",
        "$x$",
        "---",
        "a\\",
        "![i](x)",
    ],
)
def test_no_caption_and_no_title_is_read_as_markdown(said):
    """As GitHub and every CommonMark parser reads it, here by the one that ships with rich."""
    once = " ".join(said.split())
    table = Table(said, ["name"], [[TableEntry(said)]], notes=[said])
    parser = MarkdownIt("gfm-like", {"linkify": False}).enable("table")
    pieces = [token for block in parser.parse(markdown(table)) for token in block.children or ()]
    assert {piece.type for piece in pieces} <= {"text", "text_special"}
    texts = ["".join(p.content for p in block.children) for block in parser.parse(markdown(table)) if block.children]
    assert texts == [once, "name", once, once]


def test_latex_escapes():
    assert escape_latex("50 % & a_b #1 $x {y} ~ ^ \\") == (
        r"50 \% \& a\_b \#1 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert r"{}[x] ``q'' \& ''r'' & \textbf{1.0 $\pm$ 0.2} & $-$3 \\" in latex(AWKWARD).splitlines()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex, which few machines have")
def test_latex_compiles(tmp_path):
    whole = f"\\documentclass{{article}}\\begin{{document}}\n{latex(AWKWARD)}\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(whole, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_has_a_line_a_run(group):
    group.cells[0].runs[0].results["training"] = {"tokens_per_second": 1234.56, "padding": 0.0123456}
    text = results_csv([r for cell in group.cells for r in cell.runs], speeds={"/axis/base/0": 53.31234})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["variant"], row["seed"], row["cider_d"]) for row in rows] == [
        ("base", "0", "2.5"),
        ("base", "1", "3.5"),
        ("better", "0", "4.0"),
    ]
    assert (rows[0]["clips_per_second"], rows[1]["clips_per_second"]) == ("53.31", "")
    assert [rows[0][name] for name in ("tokens_per_second", "padding", "mfu")] == ["1235", "0.01235", ""]
    assert rows[1]["padding"] == ""
    assert rows[0]["trainable"] == "1234567"


@pytest.mark.parametrize(("count", "text"), [(999, "999"), (812_345, "812 k"), (4_300_000, "4.30 M"), (1e11, "100 G")])
def test_millions(count, text):
    assert millions(int(count)) == text
