"""Caption metrics over a whole evaluation run, in one process or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from avcap.metrics.evaluate import Scores, evaluate
from avcap.metrics.tokenise import PlainTokenizer
from avcap.metrics.wire import on_first_process, pack_rows, unpack_rows

QUICK = ("cider_d", "unique_ratio", "vocab", "length")
"""Metrics that need neither Java nor models: for validation while training."""


class CaptionScores(Metric):
    """Collects captions and scores them at the end, every clip once.

    The state is text as bytes, which torchmetrics gathers; the scores are then computed by the first process alone.
    Clips that a distributed sampler repeats to fill its last batch are dropped by id; the first caption counts.

    Args:
        metrics: Names out of ``avcap.metrics.metric_names()``; None means ``default_metrics()``.
        plain: Split words without Java: quicker, for validation. Otherwise PTB where Java is there.
    """

    full_state_update = False
    higher_is_better = True
    records: list[Tensor]

    def __init__(self, metrics: Sequence[str] | None = QUICK, *, plain: bool = True) -> None:
        super().__init__()
        self.metrics = None if metrics is None else tuple(metrics)
        self.plain = plain
        self.scores: Scores | None = None
        self.captions: dict[str, dict[str, Any]] = {}  # id -> caption and references, of all processes after compute()
        self.add_state("records", default=[], dist_reduce_fx="cat")

    def update(self, ids: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add a batch: ids, one caption a clip, and the reference captions of each.

        Raises:
            ValueError: If the three differ in length.
        """
        if not len(ids) == len(predictions) == len(references):
            raise ValueError(
                f"got {len(ids)} ids, {len(predictions)} predictions and {len(references)} lists of references"
            )
        rows = [(i, p, list(r)) for i, p, r in zip(ids, predictions, references, strict=True)]
        self.records.append(pack_rows(rows, device=self.device))

    def compute(self) -> dict[str, float]:
        """Score every clip once; afterwards ``scores`` and ``rows()`` hold the details.

        Returns:
            Metric name to corpus score. A metric that cannot be computed is not in it, and a warning says why.

        Raises:
            ValueError: If there was no clip.
        """
        self.captions = {}
        for clip, prediction, references in unpack_rows(self.records):
            self.captions.setdefault(clip, {"caption": prediction, "references": references})
        self.scores = on_first_process(self._evaluate) if self._is_synced else self._evaluate()
        return dict(self.scores.corpus)

    def rows(self) -> list[dict[str, Any]]:
        """Return a line of predictions.jsonl for each clip, sorted by id: caption, references, scores.

        Raises:
            RuntimeError: If ``compute`` was not called.
        """
        if self.scores is None:
            raise RuntimeError("call compute() before rows()")
        return [{"id": i, **self.captions[i], "scores": self.scores.clips[i]} for i in sorted(self.captions)]

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over processes; a process without clips takes part with an empty text of the right type."""
        if not self.records:
            self.records.append(pack_rows([], device=self.device))
        super().sync(*args, **kwargs)

    def reset(self) -> None:
        """Clear all captions and scores."""
        super().reset()
        self.scores, self.captions = None, {}

    def _evaluate(self) -> Scores:
        """Score the collected captions."""
        return evaluate(
            {i: row["caption"] for i, row in self.captions.items()},
            {i: row["references"] for i, row in self.captions.items()},
            metrics=self.metrics,
            tokenizer=PlainTokenizer() if self.plain else None,
        )
