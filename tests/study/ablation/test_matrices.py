"""The matrices of the repository: every cell is a config that parses and builds."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

from avcap import fusion
from avcap.commands.check import build_report
from avcap.lightning_cli import AvcapParser, quieten
from tests.end_to_end.program import DECODER
from tests.study.ablation.conftest import REPOSITORY, dry_run
from tests.test_readme import ParseOnly

ABLATION = Path("configs/ablation")
ALONE = {"layers_demo": "demo"}  # axes with a base that their matrix runs only when asked
Pair = tuple[str, str]  # base config and overlay


@cache
def planned(matrix: str, axes: str = "") -> tuple[dict[str, Pair], dict[str, str]]:
    """Cell -> its configs, and link -> cell, of the first seed, as Make plans them."""
    words = ["cells", f"MATRIX={matrix}", "RUNS=R", "SEEDS=7", "INSTALLED=Makefile", "DATA=Makefile"]
    words += [f"AXES={axes}"] if axes else []
    plan = dry_run(*words)
    cells = re.findall(r"ablation cell (\S+) (\S+) R/(\S+)/7 --seed 7", plan)
    links = re.findall(r"ln -sfn \.\./\.\./(\S+)/7 R/(\S+)/7", plan)
    return {name: (base, overlay) for base, overlay, name in cells}, {link: cell for cell, link in links}


def variants() -> dict[str, Pair]:
    """Every config of a matrix, those of links too; the name tells the matrix."""
    found = {}
    for matrix, axes in (("demo", ""), ("paper", ""), *((matrix, axis) for axis, matrix in ALONE.items())):
        cells, links = planned(matrix, axes)
        for name, (base, overlay) in cells.items():
            found[f"{matrix}/{name}"] = (base, overlay)
        for link, cell in links.items():
            found[f"{matrix}/{link}"] = (cells[cell][0], str(ABLATION / f"{link}.yaml"))
    return found


VARIANTS = variants()


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


@pytest.mark.parametrize("pair", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_cell_parses(pair: Pair) -> None:
    assert parsed(*pair)["data"]["init_args"]["seed"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("pair", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_cell_builds(pair: Pair, demo_root: Path) -> None:
    words = ["--config", pair[0], "--config", pair[1]]
    if parsed(*pair)["model"]["init_args"]["decoder"]["init_args"]["tokenizer"] == "data/demo/tokenizer":
        words += [f"{DECODER}.tokenizer", str(demo_root / "tokenizer")]
    assert sum(part.trainable for part in build_report(words).parts) > 0


@pytest.mark.parametrize("matrix", ["demo", "paper"])
def test_a_link_is_the_same_run(matrix: str) -> None:
    cells, links = planned(matrix)
    assert links
    for link, cell in links.items():
        assert parsed(*VARIANTS[f"{matrix}/{link}"]) == parsed(*cells[cell]), f"{link} is not {cell}"


@pytest.mark.parametrize("matrix", ["demo", "paper"])
def test_no_two_cells_are_the_same_run(matrix: str) -> None:
    cells, _ = planned(matrix)
    seen: list[tuple[str, dict]] = []
    for name, pair in cells.items():
        config = parsed(*pair)
        same = [other for other, known in seen if known == config]
        assert not same, f"{name} is {same[0]}: add {name}={same[0]} to SAME in {ABLATION / matrix}.mk"
        seen.append((name, config))


def test_every_overlay_is_a_cell_and_names_its_bases() -> None:
    bases: dict[str, set[str]] = {}
    for base, overlay in VARIANTS.values():
        bases.setdefault(overlay, set()).add(base)
    assert set(bases) == {str(path) for path in ABLATION.glob("*/*.yaml")}
    for overlay, after in bases.items():
        lines = Path(overlay).read_text().splitlines()
        said = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
        named = set(re.findall(r"configs/\S+?\.yaml", said.rpartition("put it after")[2]))
        assert after <= named, f"{overlay} says {named}, it is put after {after}"


def test_every_fusion_of_two_streams_is_in_the_matrix() -> None:
    one_stream, dali = {"AudioOnly", "VideoOnly"}, {"LlavaProjection"}
    composed = {"AlignedFusion", "TransportAdd"}  # what LAVCap's fusions are short names for
    known = {name for name in fusion.__all__ if not getattr(fusion, name).__abstractmethods__}
    known -= one_stream | dali | composed
    named = {
        parsed(*pair)["model"]["init_args"]["fusion"]["class_path"]
        for name, pair in VARIANTS.items()
        if "/fusion/" in name
    }
    assert {path.rpartition(".")[2] for path in named} == known


def test_the_demo_is_nine_cells_of_two_seeds() -> None:
    table = (REPOSITORY / ABLATION / "demo.mk").read_text()
    assert len(planned("demo")[0]) == 9
    assert re.search(r"^SEEDS := 0 1$", table, flags=re.MULTILINE)
    assert {"modality/audio", "modality/video"} <= set(planned("demo")[0])
    assert planned("demo")[1]["modality/both"] == "fusion/ot_attention"
