"""Which of its two streams a captioner leans on."""

from __future__ import annotations


def bias_index(audio_drop: float, video_drop: float) -> float | None:
    """Compute how much more a captioner loses without audio than without video: avcap's own modality-bias index.

    ``(a - v) / (a + v)`` of the two losses, where a loss below 0 (a score that rose) counts as 0.

    Args:
        audio_drop: Score on clean clips minus score with the sound spoilt.
        video_drop: The same with the pictures spoilt.

    Returns:
        1 where only the sound matters, -1 where only the pictures do, 0 where both matter alike; None where neither
        costs anything, since nothing can be said then.

    >>> bias_index(3.0, 1.0), bias_index(2.0, -0.1), bias_index(-0.2, 0.0)
    (0.5, 1.0, None)
    """
    audio, video = max(0.0, audio_drop), max(0.0, video_drop)
    return None if audio + video == 0 else (audio - video) / (audio + video)
