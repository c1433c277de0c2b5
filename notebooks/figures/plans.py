"""One clip's transport plan at several settings, how its iterations converge, and what many clips' plans gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avcap.figures.maps import by_time, edges
from avcap.figures.style import FAINT, INK, colour, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPAN = 3  # the colours end at 2 ** 3 times and 2 ** -3 times the mass of a uniform plan


def figure_plans(
    plans: Sequence[Sequence[Tensor]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    visual_time: Tensor,
    audio_time: Tensor,
    seconds: float,
    events: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """Draws plans of one clip as a grid, all in the same colours: red is more mass than in a uniform plan, blue less.

    Args:
        plans: ``[Nv, Na]`` each, not negative, by row and column of the grid.
        rows: What the rows differ in.
        columns: What the columns differ in.
        visual_time: Middle of each visual token in seconds ``[Nv]``; tokens of one time are summed, those at NaN left out.
        audio_time: Middle of each audio token ``[Na]``, likewise.
        seconds: Length of the clip.
        events: True events; those heard and seen are drawn as boxes.

    Returns:
        The figure.

    Raises:
        ValueError: If the grid has not as many rows or columns as there are names.
    """
    if len(plans) != len(rows) or any(len(line) != len(columns) for line in plans):
        raise ValueError(f"a grid of {len(rows)} rows and {len(columns)} columns needs a plan for each place")
    figure = new_figure(2.9 * len(columns) + 1.2, 2.1 * len(rows) + 0.6)
    panels = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    for i, line in enumerate(plans):
        for j, plan in enumerate(line):
            timed = by_time(plan, visual_time=visual_time, audio_time=audio_time)
            mass = np.log2(np.maximum(timed.mass, 1e-12))
            cells = edges(timed.audio_time), edges(timed.visual_time)
            image = panels[i, j].pcolormesh(*cells, mass, cmap="RdBu_r", vmin=-_SPAN, vmax=_SPAN)
            panels[i, j].set(xlim=(0, seconds), ylim=(seconds, 0))
            _draw_pairs(panels[i, j], events)
            style_axes(panels[i, j], title=columns[j] if i == 0 else "", y=rows[i] if j == 0 else "")
    figure.supxlabel("time of the sound (s)", fontsize=8, color=INK)
    figure.supylabel("time of the frame (s)", fontsize=8, color=INK)
    bar = figure.colorbar(image, ax=panels, shrink=0.9, aspect=30, ticks=range(-_SPAN, _SPAN + 1))
    bar.ax.set_yticklabels(["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    bar.set_label("plan mass (1 = uniform plan)", fontsize=8, color=INK)
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    return figure


def figure_convergence(errors: Mapping[float, Sequence[float]], iterations: Sequence[int]) -> Figure:
    """Draws how far the row sums of a plan are from what they should be, over Sinkhorn's iterations.

    Args:
        errors: Regularisation -> ``sum_i |sum_j P_ij - 1 / Nv|`` after each number of iterations.
        iterations: Those numbers.
    """
    figure = new_figure(6.4, 3.2)
    axes = figure.add_subplot()
    floor = torch.finfo(torch.float32).eps
    for number, (epsilon, values) in enumerate(errors.items()):
        drawn = np.maximum(values, floor)
        axes.semilogy(iterations, drawn, marker="o", ms=3.5, color=colour(number), label=f"epsilon {epsilon:g}")
    axes.minorticks_off()
    style_axes(axes, x="Sinkhorn iterations", y="error of the row sums (share of the mass)", grid=True)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def figure_gains(rows: Mapping[float, Mapping[str, float]]) -> Figure:
    """Draws the gain of maps over the regularisation: their own, with wrong pictures, by the time alone, and the most there is.

    Args:
        rows: Regularisation -> what :func:`avcap.trained.map_quality.map_quality` gives.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    epsilons = list(rows)
    drawn = (
        ("map_gain", "the plan", colour(0), "-"),
        ("map_gain_shuffled", "the plan with the pictures of another clip", colour(1), "-"),
        ("map_gain_timed", "a map that knows the time alone", colour(2), "--"),
    )
    for name, label, ink, style in drawn:
        axes.plot(epsilons, [row[name] for row in rows.values()], style, color=ink, marker="o", ms=3.5, label=label)
    most = 1 / next(iter(rows.values()))["map_uniform"]
    for level, label, place in (
        (1.0, "uniform map (chance)", "top"),
        (most, f"all mass on true pairs ({most:.2f})", "bottom"),
    ):
        axes.axhline(level, color=FAINT, lw=0.9, ls=(0, (2, 2)))
        axes.text(epsilons[-1], level, label, fontsize=7.5, color=FAINT, ha="right", va=place)
    axes.set_xscale("log")
    axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.minorticks_off()
    axes.margins(y=0.15)
    style_axes(
        axes,
        x="epsilon, the plan's regularisation (cosine similarity)",
        y="gain: mass on true pairs / uniform",
        grid=True,
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _draw_pairs(axes: Axes, events: Sequence[Mapping[str, Any]]) -> None:
    """A box for each event that is heard and seen."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=3, foreground="white", alpha=0.8)]
    for event in events:
        heard, seen = event.get("audio"), event.get("visual")
        if heard and seen:
            size = (heard[1] - heard[0], seen[1] - seen[0])
            corner = (heard[0], seen[0])
            axes.add_patch(Rectangle(corner, *size, fill=False, ec="black", lw=1.4, path_effects=edge))
