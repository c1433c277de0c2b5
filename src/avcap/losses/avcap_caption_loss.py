"""The captioning loss of AVCap (and of GIT): label smoothing as a KL divergence."""

from __future__ import annotations

import math

from torch import Tensor


def smoothed_divergence(logits: Tensor, targets: Tensor, *, smoothing: float = 0.1) -> Tensor:
    r"""Compute ``mean_i KL(q_i || softmax(logits_i))`` with ``1 - smoothing`` on the target, the rest spread over the others.

    ``q_i = 1 - e`` on the target and ``e / (V - 1)`` on each other word, so the minimum is 0. This is the formula of the
    official AVCap code. A label-smoothed cross-entropy (``torch``'s) puts ``e / V`` on every word and is larger by the
    entropy of its ``q`` (1.3577 at V = 30522 and e = 0.1); the gradients are nearly the same.

    Args:
        logits: ``[M, V]``, predicted words only (no padding).
        targets: ``[M]`` int64.
        smoothing: ``e``, at least 0 and below 1.

    Returns:
        A scalar, float32; 0 (with a graph) where there is no predicted word.

    Raises:
        ValueError: if ``smoothing`` is out of range or the shapes do not fit.

    Example:
        >>> import torch
        >>> loss = smoothed_divergence(torch.tensor([[0.9, 0.05, 0.05]]).log(), torch.tensor([0]), smoothing=0.1)
        >>> abs(float(loss)) < 1e-6
        True
    """
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"label_smoothing is {smoothing}; it must be at least 0 and below 1.")
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ValueError(
            f"The loss needs logits [M, V] and targets [M], not {list(logits.shape)} and {list(targets.shape)}."
        )
    words, count = logits.shape[1], max(1, len(targets))
    logits = logits.float()
    log_total = logits.logsumexp(dim=1)  # [M]
    log_target = logits.gather(1, targets[:, None]).squeeze(1) - log_total  # [M], log p of the target
    if smoothing == 0.0:
        return -log_target.sum() / count
    log_others = logits.sum(dim=1) - words * log_total - log_target  # [M], sum of log p of all other words
    share = smoothing / (words - 1)
    entropy = (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(share)  # sum of q log q
    cross = (1 - smoothing) * log_target + share * log_others
    return (entropy - cross).sum() / count
