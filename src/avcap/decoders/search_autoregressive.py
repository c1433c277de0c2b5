"""The other beam search of the official code, which never says a word twice in a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avcap.decoders.search_step import Hypotheses, LogitRules, Search, Step, take


class AutoRegressiveBeamSearch(Search):
    """``AutoRegressiveBeamSearch`` of the official AVCap and GIT code, which its captioner does not use.

    Each of K beams offers its ``per_node`` best continuations, and the K best sums of all go on; a beam that has ended
    repeats the end word at log probability 0. From the second word on the word before has the logit -10000. The best sum
    wins and is divided by its number of words, the first end word counted.

    It reads ``num_beams``, ``max_new_tokens`` and the settings of :class:`LogitRules`; there is no length penalty.

    Args:
        per_node: Continuations that each beam offers.
    """

    def __init__(self, per_node: int = 2) -> None:
        if per_node < 1:
            raise ValueError(f"AutoRegressiveBeamSearch.per_node is {per_node}; it must be at least 1.")
        self.per_node = per_node

    def __call__(self, step: Step, *, bos: Tensor, eos: int, settings: Mapping[str, Any]) -> Hypotheses:
        """Search; the scores are mean log probabilities a word."""
        beams, limit = settings["num_beams"], settings["max_new_tokens"]
        rules = LogitRules({**settings, "no_repeat": True}, eos=eos, device=bos.device)
        start = bos[:, None]  # [B, 1]
        logs = rules(start[:, :, None], step(start, None)).log_softmax(dim=-1)  # [B, 1, V]
        sums, words = logs.squeeze(1).topk(beams)  # [B, K]
        ids = torch.stack([start.expand(-1, beams), words], dim=2)  # [B, K, 2]
        parents = torch.zeros_like(words)
        while ids.shape[2] <= limit and not bool((words == eos).all()):
            logs = rules(ids, step(words, parents)).log_softmax(dim=-1)  # [B, K, V]
            silent = torch.full_like(logs[0, 0], float("-inf")).index_fill(0, words.new_tensor([eos]), 0.0)  # [V]
            logs = torch.where((words == eos)[:, :, None], silent, logs)
            offers, offered = logs.topk(self.per_node)  # [B, K, per_node]
            sums, place = (sums[:, :, None] + offers).flatten(1).topk(beams)  # [B, K]
            parents, words = place // self.per_node, offered.flatten(1).gather(1, place)
            ids = torch.cat([take(ids, parents), words[:, :, None]], dim=2)  # [B, K, n]
        text = ids[:, 0, 1:]  # [B, n], the best sum is first
        ended = (text == eos).any(dim=1)
        count = ((text != eos).sum(dim=1) + ended.long()).clamp_min(1)
        return Hypotheses(F.pad(text, (0, limit - text.shape[1]), value=eos), sums[:, 0] / count)
