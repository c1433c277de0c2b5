"""Every config of the repository builds: all its classes, arguments and widths, on the meta device."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from avcap.commands.check import build_report
from tests.end_to_end.program import DECODER, REPOSITORY

CONFIGS = REPOSITORY / "configs"
AVCAP_VARIANTS = CONFIGS / "ablation" / "avcap"  # built in tests/systems/test_avcap_configs.py
BASE = re.compile(r"put it after (configs/\S+\.yaml)")
DEMO = CONFIGS / "demo" / "lavcap.yaml"


def _is_whole(path: Path) -> bool:
    """Whether a config is a system of its own, rather than laid over another."""
    model = (yaml.safe_load(path.read_text()) or {}).get("model", {}).get("init_args", {})
    return {"fusion", "decoder"} <= set(model)


FILES = [path for path in sorted(CONFIGS.rglob("*.yaml")) if AVCAP_VARIANTS not in path.parents]
SYSTEMS = [path for path in FILES if _is_whole(path)]
# the first line of an overlay says what it is laid over; those for debugging fit any system
OVERLAYS = [
    (path, CONFIGS.parent / found[1] if (found := BASE.search(path.read_text())) else DEMO)
    for path in FILES
    if path not in SYSTEMS and path.parent.name != "demo"
]


def _name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


def _check(monkeypatch: pytest.MonkeyPatch, demo_root: Path, *paths: Path):
    monkeypatch.chdir(REPOSITORY)  # a config names other files from here
    words = [word for path in paths for word in ("--config", str(path))]
    decoder = yaml.safe_load(paths[0].read_text())["model"]["init_args"]["decoder"]["init_args"]
    if str(decoder.get("tokenizer", "")).startswith("data/"):  # made by `make demo`
        words += [f"{DECODER}.tokenizer", str(demo_root / "tokenizer")]
    return build_report(words)


@pytest.mark.parametrize("path", SYSTEMS, ids=_name)
def test_a_system_builds_and_its_parts_fit(path: Path, demo_root: Path, monkeypatch: pytest.MonkeyPatch):
    report = _check(monkeypatch, demo_root, path)
    assert sum(part.trainable for part in report.parts) > 0
    assert report.parts[-1].part == "decoder"


@pytest.mark.parametrize(("path", "base"), OVERLAYS, ids=lambda path: _name(path))
def test_an_overlay_fits_what_it_is_laid_over(path: Path, base: Path, demo_root: Path, monkeypatch: pytest.MonkeyPatch):
    report = _check(monkeypatch, demo_root, base, path)
    assert sum(part.trainable for part in report.parts) > 0
    if path.parent.name == "debug":  # changes the trainer alone
        assert report == _check(monkeypatch, demo_root, base)


def test_there_is_no_config_that_no_test_builds():
    others = set(FILES) - set(SYSTEMS) - {path for path, _ in OVERLAYS}
    assert {_name(path) for path in others} <= {"demo/prepare.yaml"}
    assert len(SYSTEMS) >= 5
