"""The conditions under which a captioner is tested."""

from __future__ import annotations

from avcap.data.corruptions import pictures, sound
from avcap.data.corruptions.base import Corruption

BOTH = "both_suppress"


def suite() -> dict[str, tuple[Corruption, ...]]:
    """Return the conditions that `avcap robustness` tests by default, by family, each with its corruptions.

    ``both_suppress`` removes both streams: the captions then show what the decoder writes without any input.
    """
    alone: list[Corruption] = [
        sound.SilentSound(),
        pictures.BlackPictures(),
        sound.SwappedSound(),
        pictures.SwappedPictures(),
    ]
    alone += [sound.NoisySound(snr) for snr in (20.0, 10.0, 5.0, 0.0, -5.0)]
    alone += [pictures.NoisyPictures(deviation) for deviation in (0.08, 0.12, 0.18, 0.26, 0.38)]
    alone += [sound.SmearedSound(seconds) for seconds in (0.1, 0.3, 1.0)]
    alone += [pictures.BlurredPictures(sigma) for sigma in (0.01, 0.03, 0.1)]
    alone += [kind(share) for kind in (sound.DroppedSound, pictures.DroppedPictures) for share in (0.25, 0.5, 0.75)]
    alone += [kind(seconds) for kind in (sound.ShiftedSound, pictures.ShiftedPictures) for seconds in (1.0, 2.0)]
    return {
        BOTH: (sound.SilentSound(), pictures.BlackPictures()),
        **{corruption.name: (corruption,) for corruption in alone},
    }
