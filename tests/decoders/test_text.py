from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer

from avcap.decoders.text import TextCodec, special_ids
from tests.decoders.conftest import CAPTIONS


@pytest.fixture
def codec(tokenizer_folder: Path) -> TextCodec:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    return TextCodec(tokenizer, special_ids(tokenizer, None))


def stub(bos: int | None = 1, eos: int | None = 2, pad: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(bos_token_id=bos, eos_token_id=eos, pad_token_id=pad)


def test_special_ids_prefer_the_pretrained_model():
    assert special_ids(stub(), None) == (1, (2,), 2)
    assert special_ids(stub(eos=1), 2) == (1, (2,), 2)  # as the tokenizer inside SmolLM2's GGUF file
    assert special_ids(stub(eos=7), [5, 6, 7]).eos == (7, 5, 6)
    assert special_ids(stub(eos=9), [5, 6]).eos == (5, 6)
    assert special_ids(stub(bos=None, pad=0), None) == (None, (2,), 0)


def test_captions_must_be_able_to_end():
    with pytest.raises(ValueError, match="no end-of-text token"):
        special_ids(stub(eos=None), None)


def test_captions_are_ended_and_padded(codec: TextCodec):
    ids, mask = codec.encode_captions(CAPTIONS, limit=64)
    for row, real, caption in zip(ids, mask, CAPTIONS, strict=True):
        assert row[real].tolist() == [*codec.tokenizer.encode(caption, add_special_tokens=False), codec.special.eos[0]]
        assert set(row[~real].tolist()) <= {codec.special.pad}


def test_long_captions_are_cut_but_ended(codec: TextCodec):
    ids, mask = codec.encode_captions(CAPTIONS, limit=3)
    assert ids.shape == (3, 3)
    assert mask.all()
    assert ids[:, -1].tolist() == [codec.special.eos[0]] * 3


def test_opening_id_and_padding_side(codec: TextCodec):
    ids, mask = codec.encode(["bell", "a dog barks"], bos=True, padding_side="left")
    assert mask[:, -1].all()
    assert not mask[0, 0]
    assert ids[1, 0] == codec.special.bos
    assert codec.encode([""]).ids.shape == (1, 0)


def test_decode_stops_at_the_end_and_tidies_up(codec: TextCodec):
    end, pad = codec.special.eos[0], codec.special.pad
    words = codec.tokenizer.encode(" a bell\n rings ", add_special_tokens=False)
    rows = torch.tensor([[*words, end, *words[:3]]])
    assert codec.decode(rows) == ["a bell rings"]
    assert codec.decode(torch.tensor([[*words, pad, pad], [end, *words, end]])) == ["a bell rings", ""]


def test_captions_survive_the_round_trip(codec: TextCodec):
    assert codec.decode(codec.encode_captions(CAPTIONS, limit=64).ids) == CAPTIONS
