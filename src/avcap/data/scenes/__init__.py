"""Procedural audio-visual scenes: the embedded data set."""

from avcap.data.scenes.compose import compose
from avcap.data.scenes.grammar import captions
from avcap.data.scenes.image_captions import image_caption, image_captions
from avcap.data.scenes.kind import Kind
from avcap.data.scenes.kinds import KINDS
from avcap.data.scenes.render import render
from avcap.data.scenes.scene import Event, Scene

__all__ = ["KINDS", "Event", "Kind", "Scene", "captions", "compose", "image_caption", "image_captions", "render"]
