"""Every config of the repository builds: all its classes, arguments and widths, on the meta device."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

from avcap.commands.check import MetaCLI, build_report
from avcap.config_files import whole_config
from avcap.lightning_cli import AvcapParser
from tests.end_to_end.program import DECODER, REPOSITORY

CONFIGS = REPOSITORY / "configs"
TABLES = {
    CONFIGS / "ablation" / "matrix.yaml",
    CONFIGS / "protocols.yaml",
}  # built in tests/study/ablation/test_matrices.py; tests/test_protocols.py
DALI_STAGES = CONFIGS / "dali"  # built in tests/systems/test_dali_configs.py, but for the language model
DEMO = CONFIGS / "demo" / "lavcap.yaml"


def _is_whole(path: Path) -> bool:
    """Whether a config is a system of its own, rather than laid over another."""
    model = whole_config(path).get("model", {}).get("init_args", {})
    return {"fusion", "decoder"} <= set(model)


def _is_other(path: Path) -> bool:
    """Whether a config trains something else than a captioner, which `avcap check` does not know."""
    return whole_config(path).get("model", {}).get("class_path", "Captioner") != "Captioner"


FILES = [path for path in sorted(CONFIGS.rglob("*.yaml")) if path not in TABLES]
FILES = [path for path in FILES if DALI_STAGES not in path.parents or path.stem == "0a_language"]
OTHERS = [path for path in FILES if _is_other(path)]
SYSTEMS = [path for path in FILES if _is_whole(path)]
OVERLAYS = [path for path in FILES if path not in SYSTEMS and path not in OTHERS and path.parent.name != "demo"]


def _name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


def _check(monkeypatch: pytest.MonkeyPatch, demo_root: Path, *paths: Path):
    monkeypatch.chdir(REPOSITORY)  # a config names other files from here
    words = [word for path in paths for word in ("--config", str(path))]
    decoder = whole_config(paths[0])["model"]["init_args"]["decoder"]["init_args"]
    if str(decoder.get("tokenizer", "")).startswith("data/"):  # made by `make demo`
        words += [f"{DECODER}.tokenizer", str(demo_root / "tokenizer")]
    return build_report(words)


@pytest.mark.parametrize("path", SYSTEMS, ids=_name)
def test_a_system_builds_and_its_parts_fit(path: Path, demo_root: Path, monkeypatch: pytest.MonkeyPatch):
    report = _check(monkeypatch, demo_root, path)
    assert sum(part.trainable for part in report.parts) > 0
    assert report.parts[-1].part == "decoder"


@pytest.mark.parametrize("path", OVERLAYS, ids=_name)
def test_an_overlay_fits_any_system_and_changes_no_part_of_it(
    path: Path, demo_root: Path, monkeypatch: pytest.MonkeyPatch
):
    assert _check(monkeypatch, demo_root, DEMO, path).parts == _check(monkeypatch, demo_root, DEMO).parts


@pytest.mark.parametrize("path", OTHERS, ids=_name)
def test_what_is_no_captioner_builds_too(path: Path, demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPOSITORY)
    text = path.read_text().replace("data/demo/tokenizer", str(demo_root / "tokenizer"))  # made by `make demo`
    config = tmp_path / path.name
    config.write_text(text)
    classes = {"parser_class": AvcapParser, "subclass_mode_model": True, "subclass_mode_data": True}
    cli = MetaCLI(LightningModule, LightningDataModule, args=["--config", str(config)], run=False, **classes)
    assert any(parameter.requires_grad for parameter in cli.model.parameters())


def test_there_is_no_config_that_no_test_builds():
    others = set(FILES) - set(SYSTEMS) - set(OTHERS) - set(OVERLAYS)
    assert {_name(path) for path in others} == {"demo/base.yaml"}
    assert len(SYSTEMS) >= 5
