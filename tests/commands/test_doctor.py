from __future__ import annotations

import json

import pytest

from avcap.commands import doctor as module
from avcap.commands.doctor import doctor
from avcap.machine import Finding


@pytest.fixture
def findings(monkeypatch):
    found = [
        Finding("packages", "torch", "2.11.0"),
        Finding("packages", "six", "1.17", minor=True),
        Finding("packages", "attrs", "1", "constraints.txt has 26", minor=True),
        Finding("metrics", "spice", "left out", "needs models"),
    ]
    monkeypatch.setattr(module, "examine", lambda: iter(found))


def test_text_marks_what_is_wrong(findings, capsys):
    doctor()
    text = capsys.readouterr().out
    assert " ! spice" in text
    assert "-> needs models" in text
    assert " ! attrs" in text
    assert "six" not in text
    assert "and 1 more as they should be" in text
    assert text.endswith("2 remarks, marked with !\n")


def test_json_holds_everything(findings, capsys):
    doctor(json=True)
    content = json.loads(capsys.readouterr().out)
    assert content["packages"]["six"] == {"value": "1.17", "problem": ""}
    assert content["metrics"]["spice"]["problem"] == "needs models"
