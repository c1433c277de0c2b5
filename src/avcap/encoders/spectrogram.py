"""Checks of the encoders of spectrogram patches."""

from __future__ import annotations

from torch import Tensor

from avcap.frontends import FrontEnd


def check_spectrogram(x: Tensor, frontend: FrontEnd, *, patch: int) -> None:
    """Refuse a spectrogram ``[B, T, F]`` that the positions of an encoder, made for a front end, do not cover.

    Raises:
        ValueError: if the spectrogram is too long, too short, or has another number of mel bins.
    """
    frames, mels = x.shape[1:]
    length, wanted = spectrogram_shape(frontend)
    if mels != wanted:
        raise ValueError(
            f"the spectrogram has {mels} mel bins and the encoder's front end {wanted}; make it by audio_encoder.frontend."
        )
    if not patch <= frames <= length:
        raise ValueError(
            f"the spectrogram has {frames} frames, outside of {patch} to target_length {length}; cut or pad it, or raise "
            "audio_encoder.frontend.target_length."
        )


def spectrogram_shape(frontend: FrontEnd) -> tuple[int, int]:
    """Return rows T and mel bins F of the longest spectrogram.

    Raises:
        ValueError: if the front end makes no spectrogram.
    """
    if len(frontend.shape) != 2:
        raise ValueError(
            f"{type(frontend).__name__} makes no spectrogram, which this encoder reads; choose KaldiFbank."
        )
    length, mels = frontend.shape
    return length, mels
