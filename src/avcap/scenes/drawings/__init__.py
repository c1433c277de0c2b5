"""Drawings: one function a look group."""

from avcap.scenes.drawings.looks import LOOKS, Look, sprites
