"""Drawings: one function a look group."""

from avcap.data.scenes.drawings.looks import LOOKS, Look, sprites

__all__ = ["LOOKS", "Look", "sprites"]
