"""Shared style of the figures: a canvas without a window, plain axes, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#22262b", "#7a828c", "#eef0f2"
AUDIO, IMAGE = "#f08a1d", "#1b9cb4"
SERIES = ("#2f7fc1", "#e0862f", "#4d9a51", "#c2417c", "#7a5bd0", "#8d6b3f")
"""Colours of systems or settings that are drawn together, in order; a seventh begins again."""


def new_figure(
    width: float, height: float, *, layout: Literal["constrained", "compressed", "tight"] | None = "constrained"
) -> Figure:
    """Create a white figure, sizes in inches, for ``savefig``, TensorBoard's ``add_figure`` or a notebook."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def colour(number: int) -> str:
    """Return the colour of the series with this number, from 0."""
    return SERIES[number % len(SERIES)]


def style_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: bool = False) -> None:
    """Style axes: thin lines without a border, small labels, and a faint grid if wanted."""
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=7.5, color=FAINT, labelcolor=INK, length=2.5)
    if title:
        axes.set_title(title, fontsize=9, color=INK, loc="left")
    for label, write in ((x, axes.set_xlabel), (y, axes.set_ylabel)):
        if label:
            write(label, fontsize=8, color=INK)
    if grid:
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
