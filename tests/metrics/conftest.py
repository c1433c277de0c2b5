"""Fixtures for the metrics: a cache folder of their own, a few captions, and the real AudioCaps test list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVCAP_CACHE", str(folder))
        yield folder


@pytest.fixture
def references() -> dict[str, list[str]]:
    return {
        "a_0": ["A dog barks twice", "A dog is barking", "Barking of a dog"],
        "b_10": ["Rain falls on a roof", "It rains hard", "Heavy rain falling on a roof"],
        "c_30.5": ["A man's speech, then music", "A man speaks; music plays", "Music after a man speaks"],
    }


@pytest.fixture
def predictions() -> dict[str, str]:
    return {"a_0": "A dog barks", "b_10": "Rain is falling on a roof.", "c_30.5": "A man speaks and music plays"}


@pytest.fixture(scope="session")
def audiocaps(shared_data: Path) -> dict[str, list[str]]:
    """The 944 clips of the published test list, five captions each, in file order."""
    content = json.loads((shared_data / "audiocaps_official_layout" / "test_coco.json").read_text())
    captions: dict[str, list[str]] = {}
    for annotation in content["annotations"]:
        captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
    return captions
