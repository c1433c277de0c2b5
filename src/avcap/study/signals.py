"""Stop signals while another process does the work."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType


class StopSignals:
    """Inside the block, Ctrl-C and SIGTERM do not end this process: they are noted, and passed on where that is needed.

    Args:
        pass_on: Called with the number of the signal.

    Attributes:
        received: Number of the last signal, 0 where there was none.
    """

    def __init__(self, pass_on: Callable[[int], object]) -> None:
        self.pass_on = pass_on
        self.received = 0

    def __enter__(self) -> StopSignals:
        """Set the handlers."""
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = int(number)
        self.pass_on(number)
