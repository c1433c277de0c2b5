"""What a synthesiser is asked for."""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    """One order to a synthesiser.

    Args:
        samples: Length at 16 kHz.
        manner: How it shall sound, one of the kind's manners; empty for kinds with one manner.
        count: How many times, for counted kinds; ``None`` for lasting sounds.
    """

    samples: int
    manner: str = ""
    count: int | None = None

    @property
    def times(self) -> int:
        """The count, or one."""
        return self.count or 1
