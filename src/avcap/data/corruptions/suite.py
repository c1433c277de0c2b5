"""The conditions under which a captioner is tested."""

from __future__ import annotations

from avcap.data.corruptions.base import Corruption
from avcap.data.corruptions.pictures import (
    BlackPictures,
    BlurredPictures,
    DroppedPictures,
    NoisyPictures,
    ShiftedPictures,
    SwappedPictures,
)
from avcap.data.corruptions.sound import (
    DroppedSound,
    NoisySound,
    ShiftedSound,
    SilentSound,
    SmearedSound,
    SwappedSound,
)

BOTH = "both_suppress"


def suite() -> dict[str, tuple[Corruption, ...]]:
    """Return the conditions that `avcap robustness` tests by default, by family, each with its corruptions.

    ``both_suppress`` removes both streams: the captions then show what the decoder writes without any input.
    """
    alone: list[Corruption] = [SilentSound(), BlackPictures(), SwappedSound(), SwappedPictures()]
    alone += [NoisySound(snr) for snr in (20.0, 10.0, 5.0, 0.0, -5.0)]
    alone += [NoisyPictures(deviation) for deviation in (0.08, 0.12, 0.18, 0.26, 0.38)]
    alone += [SmearedSound(seconds) for seconds in (0.1, 0.3, 1.0)]
    alone += [BlurredPictures(sigma) for sigma in (0.01, 0.03, 0.1)]
    alone += [kind(share) for kind in (DroppedSound, DroppedPictures) for share in (0.25, 0.5, 0.75)]
    alone += [kind(seconds) for kind in (ShiftedSound, ShiftedPictures) for seconds in (1.0, 2.0)]
    return {BOTH: (SilentSound(), BlackPictures()), **{corruption.name: (corruption,) for corruption in alone}}
