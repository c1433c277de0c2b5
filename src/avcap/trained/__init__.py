"""Trained models, opened again: on loose files, or on the clips of their run."""

from avcap.trained.files import FileCaptioner, load

__all__ = ["FileCaptioner", "load"]
