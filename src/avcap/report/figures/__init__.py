"""Figures for looking closely at one clip, one objective or a few systems; the notebooks draw them."""

from avcap.report.figures.alignments import figure_clouds, figure_distances
from avcap.report.figures.descent import Descent, descend, figure_descent
from avcap.report.figures.fused_tokens import figure_planes, figure_similarities
from avcap.report.figures.patches import figure_patches
from avcap.report.figures.plans import figure_convergence, figure_gains, figure_plans
from avcap.report.figures.systems import captions_of, figure_differences, figure_words, scene_differences

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
