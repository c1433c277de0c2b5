"""The beam search of the official AVCap and GIT code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avcap.decoders.search_step import Hypotheses, LogitRules, Search, SearchStep, reorder_beams

UNUSED = -1e9  # sum of a beam that has no text yet


class GeneratorBeamSearch(Search):
    """``GeneratorWithBeamSearch`` of the official code, all clips and beams at once (AVCap: 4 beams, length penalty 0.6).

    Each step keeps the ``2 K`` best of the ``K V`` continuations of a clip's K beams by summed log probability and walks
    them best first: the end word, or any word at the last step, closes a text made of the words before it; the others
    fill the beams until there are K. A closed text scores ``sum / ((5 + n) / 6) ** length_penalty``, where n counts the
    opening word but not the closing one, while the sum holds the closing one's log probability; the best is kept. A clip
    is done when no later text could beat it: its score is at least ``(best sum of the step) / ((5 + N) / 6) **
    length_penalty``, N = ``max_new_tokens`` (the official ``max_steps - 1``). Hugging Face's search has another normaliser
    and another last step, and finds other texts. With one beam this is still not plain greedy search: two continuations
    are looked at, so the search goes on beyond the first end word while something better may come.

    It reads ``num_beams``, ``max_new_tokens``, ``length_penalty``, and the settings of :class:`LogitRules`.
    """

    def __call__(self, step: SearchStep, *, bos: Tensor, eos: int, settings: Mapping[str, Any]) -> Hypotheses:
        """Search; the scores are the normalised sums above."""
        ids, scores = self._best(step, bos, eos, settings, count=1)
        return Hypotheses(ids[:, 0], scores[:, 0])

    def nbest(self, step: SearchStep, *, bos: Tensor, eos: int, settings: Mapping[str, Any], count: int) -> Hypotheses:
        """See :meth:`Search.nbest`; a clip is done when no later text could beat the last of them."""
        ids, scores = self._best(step, bos, eos, settings, count=count)
        words = (ids != eos).sum(dim=2) + 1  # with the closing one
        return Hypotheses(ids, scores * _length(words) ** settings.get("length_penalty", 1.0) / words)

    def _best(self, step: SearchStep, bos: Tensor, eos: int, settings: Mapping[str, Any], *, count: int) -> Hypotheses:
        """Return the best ``count`` closed texts ``[B, R, N]`` and their normalised sums ``[B, R]``."""
        clips, beams, limit = len(bos), settings["num_beams"], settings["max_new_tokens"]
        power = settings.get("length_penalty", 1.0)
        rules = LogitRules(settings, eos=eos, device=bos.device)
        ids = bos[:, None, None].expand(clips, beams, 1)  # [B, K, n]
        sums = torch.zeros(clips, beams, device=bos.device).index_fill(1, torch.arange(1, beams).to(bos), UNUSED)
        best = torch.full((clips, count), float("-inf"), device=bos.device)
        best_ids = bos.new_full((clips, count, limit), eos)
        done = torch.zeros(clips, dtype=torch.bool, device=bos.device)
        words, parents = ids[:, :, 0], None
        for n in range(1, limit + 1):  # words so far, the opening one counted
            logs = rules(ids, step(words, parents)).log_softmax(dim=-1) + sums[:, :, None]  # [B, K, V]
            if n < limit:
                sums, place = logs.flatten(1).topk(min(2 * beams, logs[0].numel()))  # [B, 2K], best first
                parents, words = place // logs.shape[2], place % logs.shape[2]
                closing = words == eos
            else:  # any word closes a text and is no part of it: the likeliest one of each beam
                sums, words = logs.max(dim=2)  # [B, K]
                parents = torch.arange(beams, device=bos.device).expand_as(words)
                closing = torch.ones_like(words, dtype=torch.bool)
            done = done | (best[:, -1] >= sums.amax(dim=1) / _length(limit) ** power)
            before = (~closing).cumsum(dim=1) - (~closing).long()  # beams filled before this candidate's turn
            none = ~closing | (before >= beams) | done[:, None] | (sums < UNUSED / 2)
            closed = sums.masked_fill(none, float("-inf"))  # [B, 2K] or [B, K]
            texts = F.pad(reorder_beams(ids, parents)[:, :, 1:], (0, limit - n + 1), value=eos)  # [B, 2K, N]
            best, order = torch.cat([best, closed / _length(n) ** power], dim=1).sort(
                dim=1, descending=True, stable=True
            )
            best, order = best[:, :count], order[:, :count]
            best_ids = reorder_beams(torch.cat([best_ids, texts], dim=1), order)
            if bool(done.all()):
                break
            order = closing.long().argsort(dim=1, stable=True)[:, :beams]  # the best that do not close
            words, parents, sums = (x.gather(1, order) for x in (words, parents, sums))
            ids = torch.cat([reorder_beams(ids, parents), words[:, :, None]], dim=2)  # [B, K, n + 1]
        return Hypotheses(best_ids, best)


def _length(words: int | Tensor) -> float | Tensor:
    """Return the length that scores are divided by, before the power (Wu et al., "Google's neural machine translation", 2016)."""
    return (5 + words) / 6
