"""Sounds made from nothing: one function a sound group."""

from avcap.scenes.sounds.synthesis import SYNTHESISERS, synthesise
