"""Who sees whom, and remembering equals reading again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcap.types import Tokens
from tests.decoders.git_parts import BOS, SIZE, WIDTH, WORDS, decoder, texts, tokens

EXACT = {"rtol": 0, "atol": 1e-6}


def test_a_later_word_changes_no_earlier_logit_and_no_token() -> None:
    model, fused, ids = decoder(), tokens(), texts()
    with torch.no_grad():
        before = model.logits(fused, ids)
        for place in range(1, ids.shape[1]):
            other = ids.clone()
            other[:, place] = (other[:, place] + 1) % WORDS
            after = model.logits(fused, other)
            torch.testing.assert_close(after[:, :place], before[:, :place], **EXACT)
            assert (after[:, place:] - before[:, place:]).abs().amax(dim=(1, 2)).min() > 1e-3


def test_the_prefix_is_computed_without_the_text_but_the_text_sees_every_token() -> None:
    model, fused, ids = decoder(), tokens(), texts()
    with torch.no_grad():
        before = model.logits(fused, ids)
        for place in range(fused.x.shape[1]):
            x = fused.x.clone()
            x[:, place] += 1.0
            after = model.logits(Tokens(x), ids)
            assert (after - before).abs().amax(dim=2).min() > 1e-5  # the first word's logits too


def test_tokens_see_each_other_in_every_layer() -> None:
    model, fused = decoder(size=replace(SIZE, depth=3)), tokens()
    x = fused.x.clone()
    x[:, -1] += 1.0
    with torch.no_grad():
        before, after = model.prefix(fused), model.prefix(Tokens(x))
    first, *later = zip(before.layers, after.layers, strict=True)
    torch.testing.assert_close(first[0].k[:, :, 0], first[1].k[:, :, 0], **EXACT)  # keys of layer 0: the token alone
    for old, new in later:
        assert (old.k[:, :, 0] - new.k[:, :, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("tied", [True, False])
def test_remembered_words_give_the_same_logits_as_all_words_again(tied: bool) -> None:
    model, ids = decoder(size=replace(SIZE, tied=tied)), texts(length=9)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = False
    for fused in (tokens(), Tokens(tokens().x, mask)):
        with torch.no_grad():
            whole = model.logits(fused, ids)  # [B, L, V]
            step, parents = model.stepper(fused), None
            for place in range(ids.shape[1]):
                logits = step(ids[:, place, None], parents)
                torch.testing.assert_close(logits[:, 0], whole[:, place], rtol=0, atol=1e-4)
                parents = torch.zeros(3, 1, dtype=torch.long)


def test_beams_that_change_places_keep_their_own_words() -> None:
    model, fused = decoder(), tokens(clips=2)
    generator = torch.Generator().manual_seed(3)
    ids = torch.full((2, 4, 1), BOS)
    with torch.no_grad():
        step = model.stepper(fused)
        logits = step(ids[:, :, 0], None)
        for _ in range(5):
            parents = torch.randint(0, 4, (2, 4), generator=generator)
            words = torch.randint(3, WORDS, (2, 4), generator=generator)
            ids = torch.cat([torch.stack([row[p] for row, p in zip(ids, parents, strict=True)]), words[..., None]], 2)
            logits = step(words, parents)
            for beam in range(4):
                whole = model.logits(fused, ids[:, beam])[:, -1]
                torch.testing.assert_close(logits[:, beam], whole, rtol=0, atol=1e-4)


def test_padding_changes_nothing_whatever_it_holds() -> None:
    model, ids = decoder(), texts()
    fused = tokens()
    for junk in (0.0, 1e4, float("nan")):
        x = torch.full((3, 12, WIDTH), junk)
        mask = torch.zeros(3, 12, dtype=torch.bool)
        places = torch.tensor([0, 2, 3, 5, 8, 9, 11])  # real tokens in between
        x[:, places], mask[:, places] = fused.x, True
        with torch.no_grad():
            torch.testing.assert_close(model.logits(Tokens(x, mask), ids), model.logits(fused, ids), rtol=0, atol=5e-5)
            plain = model.generate_ids(fused, bos=BOS, eos=2)
            padded = model.generate_ids(Tokens(x, mask), bos=BOS, eos=2)
        torch.testing.assert_close(padded.ids, plain.ids)
        torch.testing.assert_close(padded.scores, plain.scores, rtol=0, atol=1e-4)


def test_a_clip_without_tokens_stays_finite_and_leaves_the_others_alone() -> None:
    model, ids, fused = decoder(), texts(), tokens()
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1] = False
    with torch.no_grad():
        logits = model.logits(Tokens(fused.x, mask), ids)
        plain = model.logits(fused, ids)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits[[0, 2]], plain[[0, 2]], rtol=0, atol=5e-5)
