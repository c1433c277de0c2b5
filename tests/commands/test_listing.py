"""`avcap list`."""

from __future__ import annotations

import inspect

import pytest

from avcap.cli import main
from avcap.commands.listing import KINDS, family
from avcap.fusion import Fusion


def test_all_families_are_printed_with_a_line_for_each_component(capsys):
    main(["list", "all"])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:-1] for line in lines if not line.startswith(" ")] == list(KINDS)
    rows = dict(line.split(maxsplit=1) for line in lines if line.startswith(" "))
    expected = {
        "CEDEncoder",
        "PrecomputedVisual",
        "OTAttention",
        "AudioOnly",
        "CausalLMDecoder",
        "GITDecoder",
        "WarmupCosine",
    }
    assert expected <= set(rows)
    assert all(len(text) > 10 for text in rows.values())


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_family_is_listed_alone_and_holds_only_what_can_be_built(kind, capsys):
    main(["list", kind])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{kind}:"
    assert len(lines) - 1 == len(family(kind)) > 0
    assert not any(inspect.isabstract(component) for component in family(kind))


def test_a_class_of_the_user_counts_once_it_is_imported():
    class Mine(Fusion):
        """A fusion of the user."""

        def forward(self, audio, video):
            return audio

    assert Mine in family("fusion")


def test_an_unknown_family_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["list", "fusoin"])
    assert stop.value.code == 2
    assert "fusoin" in capsys.readouterr().err
