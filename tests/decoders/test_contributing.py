"""CONTRIBUTING.md, "Add a decoder in four steps": the code there works as it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jsonargparse import ArgumentParser

from avcap.decoders import Decoder
from avcap.types import Tokens
from tests.guide import Guide


def test_the_four_steps_work(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Guide("Add a decoder in four steps", "avcap.decoders.byte_gru", monkeypatch)
    parser = ArgumentParser()
    parser.add_argument("--decoder", type=Callable[[int], Decoder])
    factory = parser.instantiate(parser.parse_object({"decoder": guide.model["decoder"]})).decoder
    decoder = factory(16)
    assert isinstance(decoder, guide.component)
    assert decoder.output.in_features == 64
    with torch.device("meta"):  # as avcap check does
        loss = factory(16).dry_loss(Tokens(torch.empty(2, 5, 16)), 20)
    assert loss.shape == ()
    assert guide.run_tests() == 3
