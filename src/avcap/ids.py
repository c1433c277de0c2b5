"""Clip ids, the names of files that belong to them, and the short hash that identifies the clips of a score."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

_UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]|^[.\-~ ]|[. ]$')
_SHOWN = 200  # characters
_LONGEST = 180  # bytes of a name, so that a suffix fits within the 255 that file systems take


def clip_id(youtube_id: str, start_time: float | str) -> str:
    """Return the id of a clip: YouTube id and start in seconds, without trailing zeros.

    Args:
        youtube_id: The eleven characters of the video.
        start_time: Where the clip starts, in seconds.

    Returns:
        For instance ``7fmOlUlwoNg_20``; a start of 20.5 s gives ``7fmOlUlwoNg_20.5``.
    """
    seconds = round(float(start_time), 3)
    return f"{youtube_id}_{int(seconds)}" if seconds.is_integer() else f"{youtube_id}_{seconds}"


def file_name(clip: str) -> str:
    """Return the name, without a suffix, of a file that belongs to a clip. It names no other folder and no hidden file.

    Two ids never have one name. (On a file system that does not tell capitals from small letters, ids that differ in
    nothing else do.)

    Args:
        clip: The clip's id, any text.

    Returns:
        The id, with ``%`` and two hexadecimal digits in the place of each character that a name cannot hold, and of a
        leading ``-``: ``dog%2F1`` for ``dog/1``. A very long one ends in a hash.
    """
    name = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", clip) or "%"
    data = name.encode("utf-8", "surrogatepass")
    if len(data) <= _LONGEST:
        return name
    kept = data[:_LONGEST].decode("utf-8", "ignore")
    return f"{kept}%-{hashlib.sha256(data).hexdigest()[:16]}"


def id_hash(ids: Iterable[str]) -> str:
    """Return twelve hexadecimal digits that identify a set of clips, in any order.

    Published AudioCaps test lists differ (975, 944, 928 clips), so every score carries this hash.

    Args:
        ids: The clip ids.

    Returns:
        The first 12 digits of the SHA-256 of the sorted ids joined by line feeds.
    """
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:12]


def name_some(ids: Sequence[str], *, at_most: int = 5) -> str:
    """Join a few ids for an error message, and say how many more there are; odd and very long ones are shown in short."""
    more = len(ids) - at_most
    shown = [i if i.isprintable() and len(i) <= _SHOWN else f"{i[:_SHOWN]!r}" for i in ids[:at_most]]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
