"""Procedural audio-visual scenes: the embedded data set."""

from avcap.scenes.compose import compose
from avcap.scenes.grammar import captions
from avcap.scenes.image_captions import image_caption, image_captions
from avcap.scenes.kind import Kind
from avcap.scenes.kinds import KINDS
from avcap.scenes.render import render
from avcap.scenes.scene import Event, Scene
