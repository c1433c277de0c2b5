"""Figures for looking closely at one clip, one objective or a few systems; the notebooks draw them."""

from .alignments import figure_clouds, figure_distances
from .descent import Descent, descend, figure_descent
from .fused_tokens import figure_planes, figure_similarities
from .patches import figure_patches
from .plans import figure_convergence, figure_gains, figure_plans
from .systems import captions_of, figure_differences, figure_words, scene_differences

__all__ = [
    "Descent",
    "captions_of",
    "descend",
    "figure_clouds",
    "figure_convergence",
    "figure_descent",
    "figure_differences",
    "figure_distances",
    "figure_gains",
    "figure_patches",
    "figure_planes",
    "figure_plans",
    "figure_similarities",
    "figure_words",
    "scene_differences",
]
