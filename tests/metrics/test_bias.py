from __future__ import annotations

import pytest

from avcap.metrics.bias import bias_index


@pytest.mark.parametrize(
    ("audio", "video", "index"),
    [
        (1.0, 0.0, 1.0),
        (0.0, 0.3, -1.0),
        (0.4, 0.4, 0.0),
        (0.9, 0.3, 0.5),
        (0.5, -0.2, 1.0),  # without pictures it is better: it leans on sound alone
        (-0.5, 0.2, -1.0),
        (0.0, 0.0, None),
        (-0.1, -0.3, None),  # nothing is missed: neither stream is leant on
    ],
)
def test_index(audio: float, video: float, index: float | None):
    assert bias_index(audio, video) == (None if index is None else pytest.approx(index))
