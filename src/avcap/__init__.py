"""avcap: an experiment suite for audio-visual captioning."""

__version__ = "0.1.0"
