"""The modality-bias index: which of its two streams a captioner depends on."""

from __future__ import annotations


def bias_index(audio_drop: float, video_drop: float) -> float | None:
    """Compute how much more a captioner loses without audio than without video: avcap's own modality-bias index.

    ``(a - v) / (a + v)`` of the two losses, where a loss below 0 (a score that rose) counts as 0.

    Args:
        audio_drop: Score on clean clips minus score on clips with corrupted audio.
        video_drop: The same with corrupted video.

    Returns:
        1 if only the audio matters, -1 if only the video matters, 0 if both matter equally; None if neither drop is
        above 0, since the index is then undefined.

    >>> bias_index(3.0, 1.0), bias_index(2.0, -0.1), bias_index(-0.2, 0.0)
    (0.5, 1.0, None)
    """
    audio, video = max(0.0, audio_drop), max(0.0, video_drop)
    return None if audio + video == 0 else (audio - video) / (audio + video)
