"""The content of the page's caption browser: captions of every system beside the references, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avcap.study.report.collect import Group
from avcap.study.report.table import TITLES


def browser_data(group: Group, *, clips: int, kinds: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the data of the clip browser, ready for JSON, with equal texts stored once.

    Args:
        group: Cells tested on the same clips; of each, the captions and scores of the first seed are shown.
        clips: Maximum number of clips.
        kinds: Clip id -> kind of scene; may be empty.

    Returns:
        ``systems``, ``metrics`` (printed names, the deciding one first), ``texts``, and ``clips``: for each its ``id``,
        ``kind``, ``references`` and ``captions`` (numbers of texts), ``scores`` (system by metric, × 1000, rounded) and
        ``spread`` (standard deviation over systems of the deciding metric). None where there is no caption.
    """
    cells = group.captioned
    chosen = choose_clips(group, clips)
    if not cells or not chosen:
        return None
    texts: dict[str, int] = {}
    metrics = group.clip_metrics

    def stored(text: str) -> int:
        return texts.setdefault(text, len(texts))

    spreads = disagreement(group)
    listed = []
    for clip in chosen:
        rows = [cell.runs[0].rows[clip] for cell in cells]
        listed.append(
            {
                "id": clip,
                "kind": kinds.get(clip, "").replace("_", "-"),
                "references": [stored(text) for text in rows[0].get("references", [])],
                "captions": [stored(row["caption"]) for row in rows],
                "scores": [[round(1000 * row["scores"][metric]) for metric in metrics] for row in rows],
                "spread": round(1000 * spreads.get(clip, 0.0)),
            }
        )
    return {
        "hash": group.id_hash,
        "total": len(group.ids),
        "systems": [cell.name for cell in cells],
        "metrics": [TITLES[metric] for metric in metrics],
        "texts": list(texts),
        "clips": listed,
    }


def choose_clips(group: Group, clips: int) -> list[str]:
    """Return all clips, or half those on which the systems disagree most and half evenly spaced over the others."""
    ids = group.ids
    if len(ids) <= clips:
        return ids
    spreads = disagreement(group)
    most = sorted(spreads, key=lambda clip: -spreads[clip])[: clips // 2]
    others = sorted(set(ids) - set(most))
    places = np.linspace(0, len(others) - 1, clips - len(most)).round().astype(int)
    return sorted([*most, *(others[place] for place in places)])


def disagreement(group: Group) -> dict[str, float]:
    """Return the standard deviation of each clip's score over the cells; empty for one cell or without clips' scores."""
    if len(group.captioned) < 2 or not group.clip_metrics:
        return {}
    metric = group.clip_metrics[0]  # every cell has it for every clip
    by_cell = [scores for cell in group.captioned if (scores := cell.clip_scores(metric, group.ids)) is not None]
    return dict(zip(group.ids, np.stack(by_cell).std(0).tolist(), strict=True))  # [cells, N] -> [N]


def shown_ids(groups: Sequence[Group], clips: int) -> list[str]:
    """Return the clips that the browser shows, each once."""
    return list(dict.fromkeys(clip for group in groups for clip in choose_clips(group, clips)))
