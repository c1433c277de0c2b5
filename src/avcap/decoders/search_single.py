"""One text a clip, a word at a time: greedy search and sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from avcap.decoders.search_step import Hypotheses, LogitRules, Search, SearchStep


class SingleSequence(Search):
    """Takes the most likely word at each step, or draws one with ``do_sample``; a text ends at its first end word.

    It reads ``max_new_tokens``, ``do_sample`` and the settings of :class:`LogitRules` (nucleus sampling: ``top_p``, Holtzman
    et al., ICLR 2020). Draws come from the global generator of the device: seed it for repeatable captions.
    """

    def __call__(self, step: SearchStep, *, bos: Tensor, eos: int, settings: Mapping[str, Any]) -> Hypotheses:
        """Search; the scores are the log probabilities of the texts, summed, the end word's included."""
        clips, limit = len(bos), settings["max_new_tokens"]
        rules = LogitRules(settings, eos=eos, device=bos.device)
        sample = bool(settings.get("do_sample", False))
        ids = bos.new_full((clips, limit + 1), eos)
        ids[:, 0] = bos
        scores = torch.zeros(clips, device=bos.device)
        done = torch.zeros(clips, dtype=torch.bool, device=bos.device)
        for n in range(1, limit + 1):
            parents = None if n == 1 else torch.zeros_like(bos)[:, None]
            logits = step(ids[:, n - 1, None], parents)  # [B, 1, V]
            logs = rules(ids[:, None, :n], logits).squeeze(1).log_softmax(dim=-1)  # [B, V]
            words = logs.exp().multinomial(1) if sample else logs.argmax(dim=-1, keepdim=True)  # [B, 1]
            scores = scores + logs.gather(1, words).squeeze(1).masked_fill(done, 0.0)
            ids[:, n] = torch.where(done, eos, words.squeeze(1))
            done = done | (ids[:, n] == eos)
            if bool(done.all()):
                break
        return Hypotheses(ids[:, 1:], scores)
