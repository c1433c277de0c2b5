"""Sound on a clip's clock: mixed down to mono, resampled, gaps filled with silence, overlaps dropped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avcap.media.files import MediaError

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

TOLERANCE = 0.05  # seconds that a time stamp may be off before it counts as a gap or an overlap
MOST_SILENCE = 3600.0  # seconds filled in, in all; more comes from damaged time stamps, and would fill the memory
BLOCK = 1 << 18  # samples given to the resampler at once
THREE_DB = 0.5**0.5
FRONT = frozenset({"FL", "FR", "FLC", "FRC", "DL", "DR", "WL", "WR"})
LOW = frozenset({"LFE", "LFE2"})
UNKNOWN = frozenset({"", "NONE", "UNK", "UNSD"})
GUESSED = {6: ("FL", "FR", "FC", "LFE", "BL", "BR"), 8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")}


@lru_cache
def mono_weights(channels: tuple[str, ...]) -> tuple[np.ndarray, str | None]:
    """Return the weight of each channel in the mono mix-down, and what is to be said of it.

    ITU-R BS.775: the centre and the surround channels join left and right at -3 dB, low-frequency effects are left out;
    then left and right are averaged. The weights add to 1, so that nothing clips.

    >>> mono_weights(("FL", "FR"))[0].tolist()
    [0.5, 0.5]
    """
    names, note = channels, None
    if any(name.startswith("AMBI") for name in names):
        note = "Of ambisonic sound the omnidirectional channel is heard."
    elif any(name in UNKNOWN or name.startswith("USR") for name in names):
        if (guess := GUESSED.get(len(names))) is None:
            note = f"The layout of its {len(names)} channels is unknown: they are averaged."
            return np.full(len(names), 1 / len(names), np.float32), note if len(names) > 2 else None
        names, note = guess, f"The layout of its {len(names)} channels is not told; it is read as the usual surround."
    weights = np.array([_weight(name) for name in names], np.float32)
    if not weights.any():
        weights[:] = 1.0
    return weights / weights.sum(), note


def _weight(name: str) -> float:
    if name in LOW:
        return 0.0
    if name.startswith("AMBI"):
        return float(name == "AMBI0")
    if name in FRONT:
        return 0.5  # in one of left and right
    both = {
        "FC": THREE_DB,
        "TFC": 0.5,
        "TC": 0.5,
        "BC": 0.5,
        "TBC": 0.5,
    }  # in left and in right; the back centre at -6 dB
    return both.get(name, 0.5 * THREE_DB)


class Recording:
    """Gathers decoded sound as one mono recording.

    Args:
        path: The file, for messages.
        rate: Samples a second of the result.
        keep_from: Sound that ends before this time of the container's clock is not kept.
    """

    def __init__(self, path: Path, rate: int, keep_from: float) -> None:
        self.path, self.rate, self.keep_from = path, rate, keep_from
        self.begun: float | None = None  # when the track begins, in seconds of the container's clock
        self.first: float | None = None  # when the first sample that is kept is heard
        self.notes: dict[str, None] = {}  # in order, each once
        self._now = 0.0  # when the next sample is due
        self._kind: tuple[int, str, tuple[str, ...]] = (0, "", ())  # rate, sample format and channels of the source
        self._decoded: list[np.ndarray] = []  # of one kind, [channels, samples]
        self._length = 0  # of these
        self._mixed: list[np.ndarray] = []
        self._resampler: AudioResampler | None = None
        self._done: list[np.ndarray] = []
        self._peak = self._filled = 0.0

    def add(self, frame: AudioFrame, time: float | None) -> None:
        """Append a decoded frame that is heard at a time; without a time it follows the one before.

        Raises:
            MediaError: if it holds NaN or infinity, or has gaps of more than an hour.
        """
        rate, samples = frame.sample_rate, frame.samples
        if self.first is None:
            time = self._now if time is None else time
            self.begun = time if self.begun is None else self.begun
            self._now = time + samples / rate
            if time + samples / rate < self.keep_from:
                return
            self.first = self._now = time
        names = tuple(channel.name for channel in frame.layout.channels)
        kind = (rate, frame.format.name, names or ("NONE",) * frame.layout.nb_channels)
        if kind != self._kind:
            self._mix()
            if rate != self._kind[0]:
                self._resample(last=True)
            if self._kind[0]:
                self.notes["Its channels or its rate change in mid-stream."] = None
            self._kind = kind
        if (
            frame.format.is_planar and len(frame.planes) != frame.layout.nb_channels
        ):  # PyAV would read past the last plane
            raise MediaError(f"{self.path} has sound of {frame.layout.nb_channels} channels, which cannot be read.")
        wave = frame.to_ndarray()
        wave = wave if frame.format.is_planar else wave.reshape(samples, -1).T
        off = 0.0 if time is None else time - self._now
        if off > TOLERANCE:
            self._fill(off)
        elif off < -TOLERANCE:
            wave = wave[:, round(-off * rate) :]
            self.notes["Sound that overlaps is left out."] = None
        self._decoded.append(wave)
        self._length += wave.shape[1]
        self._now += wave.shape[1] / rate
        if self._length > BLOCK:
            self._mix()
            self._resample()

    def finish(self) -> np.ndarray:
        """Return the recording, float32 ``[samples]``; empty where nothing was added."""
        self._mix()
        self._resample(last=True)
        if self._peak > 1.0001:
            self.notes[f"The sound is louder than full scale (peak {self._peak:.3g}); it will be clipped."] = None
        return np.concatenate([*self._done, np.zeros(0, np.float32)])

    @property
    def end(self) -> float:
        """When the last sample ends, in seconds of the container's clock."""
        return self._now

    def _fill(self, seconds: float) -> None:
        self._filled += seconds
        if self._filled > MOST_SILENCE:
            raise MediaError(
                f"The time stamps of the sound of {self.path} jump by {seconds:.0f} s; make the file anew."
            )
        self._mix()
        silence = round(seconds * self._kind[0])
        self._mixed.append(np.zeros(silence, np.float32))
        self._now += silence / self._kind[0]
        self.notes["Gaps in the sound are filled with silence."] = None

    def _mix(self) -> None:
        """Mix down what was decoded."""
        if not self._decoded:
            return
        waves, self._decoded, self._length = np.concatenate(self._decoded, axis=1), [], 0
        weights, note = mono_weights(self._kind[2])
        if note is not None:
            self.notes[note] = None
        middle, full = 0.0, 1.0
        if waves.dtype.kind in "iu":
            full = 2.0 ** (8 * waves.dtype.itemsize - 1)
            middle = full if waves.dtype.kind == "u" else 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            wave = (weights @ (waves.astype(np.float32) - middle) / full).astype(np.float32)
        if not np.isfinite(wave).all():
            raise MediaError(f"The sound of {self.path} holds NaN or infinity; write the file anew.")
        self._peak = max(self._peak, float(np.abs(wave).max(initial=0.0)))
        self._mixed.append(wave)

    def _resample(self, *, last: bool = False) -> None:
        import av

        wave, self._mixed = np.concatenate([*self._mixed, np.zeros(0, np.float32)]), []
        if self._kind[0] == self.rate:
            self._done.append(wave)
            return
        if len(wave):
            if self._resampler is None:
                self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
            block = av.AudioFrame.from_ndarray(wave[None], format="flt", layout="mono")
            block.sample_rate = self._kind[0]
            self._done += [piece.to_ndarray()[0] for piece in self._resampler.resample(block)]
        if last and self._resampler is not None:
            self._done += [piece.to_ndarray()[0] for piece in self._resampler.resample(None)]
            self._resampler = None


def cut(wave: np.ndarray, skip: float, length: int, rate: int) -> np.ndarray:
    """Return ``length`` samples from ``skip`` seconds after the first one (before it, where negative), silence where there are none."""
    skipped = round(skip * rate)
    kept = wave[max(0, skipped) :][: length - max(0, -skipped) if skipped < 0 else length]
    before = min(length, max(0, -skipped))
    return np.pad(kept, (before, length - before - len(kept)))
