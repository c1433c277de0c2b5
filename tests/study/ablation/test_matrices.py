"""The matrices of the repository: every cell is a config that parses and builds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from lightning.pytorch import LightningDataModule, LightningModule

from avcap import fusion
from avcap.commands.check import build_report
from avcap.lightning_cli import AvcapParser, quieten
from avcap.study.ablation.matrix import TABLE, Matrix, read_matrix
from tests.end_to_end.program import DECODER
from tests.study.ablation.conftest import REPOSITORY
from tests.test_readme import ParseOnly


def matrix(name: str, runs: Path) -> Matrix:
    """A matrix of the repository, its overlays written elsewhere."""
    return replace(read_matrix(name, REPOSITORY / TABLE), runs=runs)


def variants() -> Iterator[str]:
    """Every value of a matrix, those of links too: ``<matrix>/<axis>/<value>``."""
    for name in ("demo", "paper"):
        found = read_matrix(name, REPOSITORY / TABLE)
        yield from (f"{name}/{cell}" for cell in found.cells(list(found.axes)))


VARIANTS = list(variants())
OVERLAYS = TemporaryDirectory()  # deleted with the process


def pair(variant: str) -> tuple[str, str]:
    """Base config and overlay of a value."""
    name, cell = variant.split("/", 1)
    found = matrix(name, Path(OVERLAYS.name, name))
    return str(found.axes[cell.split("/")[0]].base), str(found.overlay(cell))


@cache
def parsed(base: str, overlay: str) -> dict:
    quieten()
    cli = ParseOnly(
        LightningModule,
        LightningDataModule,
        parser_class=AvcapParser,
        subclass_mode_model=True,
        subclass_mode_data=True,
        args=["--config", base, "--config", overlay, "--seed_everything", "7", "--data.init_args.seed", "7"],
        run=False,
    )
    return {name: value for name, value in cli.config.as_dict().items() if name != "config"}  # the names of the files


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)  # configs name files from there


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cell_parses(variant: str) -> None:
    assert parsed(*pair(variant))["data"]["init_args"]["seed"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cell_builds(variant: str, demo_root: Path) -> None:
    base, overlay = pair(variant)
    words = ["--config", base, "--config", overlay]
    if parsed(base, overlay)["model"]["init_args"]["decoder"]["init_args"]["tokenizer"] == "data/demo/tokenizer":
        words += [f"{DECODER}.tokenizer", str(demo_root / "tokenizer")]
    assert sum(part.trainable for part in build_report(words).parts) > 0


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_a_link_is_the_same_run(name: str) -> None:
    same = read_matrix(name).same
    assert same
    for link, cell in same.items():
        assert parsed(*pair(f"{name}/{link}")) == parsed(*pair(f"{name}/{cell}")), f"{link} is not {cell}"


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_no_two_cells_are_the_same_run(name: str) -> None:
    found = read_matrix(name)
    seen: list[tuple[str, dict]] = []
    for cell in [cell for cell in found.cells() if cell not in found.same]:
        config = parsed(*pair(f"{name}/{cell}"))
        known = [other for other, of_other in seen if of_other == config]
        assert not known, f"{cell} is {known[0]}: add it to `same` of {name} in {TABLE}"
        seen.append((cell, config))


def test_every_axis_of_the_table_is_in_a_matrix() -> None:
    rows = yaml.safe_load(TABLE.read_text())["axes"]
    values = {f"{axis}/{value}" for axis, row in rows.items() for value in row["values"]}
    assert values == {variant.split("/", 1)[1] for variant in VARIANTS}


def test_every_fusion_of_two_streams_is_in_the_matrix() -> None:
    one_stream, dali = {"AudioOnly", "VideoOnly"}, {"LlavaProjection"}
    composed = {"AlignedFusion", "TransportAdd"}  # what LAVCap's fusions are short names for
    classes = {name: thing for name, thing in vars(fusion).items() if isinstance(thing, type)}
    known = {name for name, kind in classes.items() if not kind.__abstractmethods__}
    known -= one_stream | dali | composed
    named = {
        parsed(*pair(variant))["model"]["init_args"]["fusion"]["class_path"]
        for variant in VARIANTS
        if "/fusion/" in variant
    }
    assert {path.rpartition(".")[2] for path in named} == known


def test_the_demo_is_nine_cells_of_two_seeds(tmp_path: Path) -> None:
    demo = matrix("demo", tmp_path)
    cells = [cell for cell in demo.cells() if cell not in demo.same]
    assert len(cells) == 9
    assert demo.seeds == (0, 1)
    assert {"modality/audio", "modality/video"} <= set(cells)
    assert demo.same["modality/both"] == "fusion/ot_attention"


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_no_run_needs_one_that_comes_later(name: str, tmp_path: Path) -> None:
    made: set[Path] = set()
    for step in matrix(name, tmp_path).steps():
        assert made.issuperset(step.needs), step
        made.add(step.makes)
    assert len(made) == len(read_matrix(name).cells()) * len(read_matrix(name).seeds)
