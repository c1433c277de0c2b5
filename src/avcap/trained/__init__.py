"""Trained models, applied to media files or to the clips of their run."""

from avcap.trained.files import FileCaptioner, load

__all__ = ["FileCaptioner", "load"]
