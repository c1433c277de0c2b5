"""What a synthesiser is asked for."""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    """One order to a synthesiser.

    Args:
        samples: Length at 16 kHz.
        manner: How it sounds, one of the kind's manners; empty for kinds with one manner.
        repeats: How many times, for counted kinds; ``None`` for lasting sounds.
    """

    samples: int
    manner: str = ""
    repeats: int | None = None

    @property
    def times(self) -> int:
        """The repeats, or one."""
        return self.repeats or 1
