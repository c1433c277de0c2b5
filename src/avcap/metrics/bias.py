"""The modality-bias index: which of its two streams a captioner depends on."""

from __future__ import annotations


def bias_index(audio_drop: float, video_drop: float) -> float | None:
    """Compute how much more a captioner loses without audio than without video: avcap's own modality-bias index.

    Drops are scores on clean clips minus scores on clips of which one stream is corrupted.

    Returns:
        1 if only the audio matters, -1 if only the video matters, 0 if both matter equally; None if neither drop is
        above 0, since the index is then undefined.
    """
    audio, video = max(0.0, audio_drop), max(0.0, video_drop)
    return None if audio + video == 0 else (audio - video) / (audio + video)
