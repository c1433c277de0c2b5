"""Figures of assignment maps and of tokens."""

from avcap.figures.maps import by_time, draw_map, figure_map
from avcap.figures.tokens import figure_tokens
