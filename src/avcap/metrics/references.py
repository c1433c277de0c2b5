"""Reference captions under the ids that predictions may use for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar
from unicodedata import normalize

from avcap.ids import name_some

T = TypeVar("T")


class References:
    """Reference captions by clip id, which also answers to bare YouTube ids.

    Args:
        captions: Clip id to captions.
        aliases: Other name of a clip (its bare YouTube id, its file) to the ids it may mean.
    """

    def __init__(self, captions: dict[str, list[str]], aliases: dict[str, set[str]] | None = None) -> None:
        self.captions = captions
        self._aliases = aliases or {}

    def rename(self, predictions: Iterable[tuple[str, T]]) -> dict[str, T]:
        """Map predictions, pairs of an id (``youtube_id_start`` or a bare ``youtube_id``) and what is predicted, to clip ids.

        An id that is unknown here is kept, for ``evaluate`` to refuse.

        Raises:
            ValueError: If an id has two predictions, or a bare id may mean more than one clip.
        """
        found: dict[str, T] = {}
        double, vague = [], []
        for written, prediction in predictions:
            name = normalize("NFC", written)
            meant = {name} if name in self.captions else self._aliases.get(name, {name})
            if len(meant) > 1:
                vague.append(name)
                continue
            (clip,) = meant
            if clip in found:
                double.append(name)
            found[clip] = prediction
        if double:
            raise ValueError(f"{len(double)} ids have more than one prediction: {name_some(double)}")
        if vague:
            raise ValueError(f"{len(vague)} ids mean more than one clip, write youtube_id_start: {name_some(vague)}")
        return found
