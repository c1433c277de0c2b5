"""The definition of a kind of event."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """One kind of event.

    Args:
        name: Key and plain name.
        sound_group: Which synthesiser makes it (``sounds.SYNTHESISERS``).
        look_group: Which drawing shows it (``drawings.LOOKS``).
        subjects: Noun phrases, the usual one first.
        manners: How it can sound -> verb phrases as ``"finite/gerund"``, the usual one first.
        plural: Whether the subject takes a plural verb.
        period: Seconds from one call to the next, for kinds that are counted; ``None`` for lasting sounds.
        ambient: Whether it can go on softly behind other events.
    """

    name: str
    sound_group: str
    look_group: str
    subjects: tuple[str, ...]
    manners: dict[str, tuple[str, ...]] = field(hash=False)
    plural: bool = False
    period: float | None = None
    ambient: bool = False
