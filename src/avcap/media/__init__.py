"""Reading sound and frames out of any media file, as a player plays them (PyAV: its wheel brings FFmpeg; Pillow).

Everything of a clip lies on one clock, that of what is presented: see :func:`read_media`.
"""

from avcap.media.files import MediaError, NoAudio, NoVideo, duration, streams_of
from avcap.media.reading import Media, even_indices, read_media

__all__ = ["Media", "MediaError", "NoAudio", "NoVideo", "duration", "even_indices", "read_media", "streams_of"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v"})
