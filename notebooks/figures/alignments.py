"""What trained alignments came to: their distances over training, and the two token sets of one clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from avcap.figures.style import AUDIO, IMAGE, INK, colour, new_figure, style_axes
from avcap.figures.tokens import project
from avcap.study.report.curves import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISTANCES = {"val/mmd": "MMD²", "val/sinkhorn_divergence": "Sinkhorn divergence", "val/recall_1": "recall at 1"}


def figure_distances(runs: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draws how far the audio tokens of validation clips are from their image tokens, a line a run.

    Args:
        runs: Name of a run -> its curves (:func:`avcap.study.report.curves.read_curves`).

    Returns:
        A panel for each distance that some run has; see "Is it aligned?" in docs/dali.md.

    Raises:
        ValueError: If no run has any.
    """
    tags = [tag for tag in DISTANCES if any(tag in curves for curves in runs.values())]
    if not tags:
        raise ValueError(f"None of the runs {', '.join(runs)} measured {' or '.join(DISTANCES)}.")
    figure = new_figure(3.2 * len(tags), 3.2)
    for axes, tag in zip(figure.subplots(1, len(tags), squeeze=False)[0], tags, strict=True):
        for number, (name, curves) in enumerate(runs.items()):
            if tag in curves:
                axes.plot(curves[tag].steps, curves[tag].values, marker="o", ms=3, color=colour(number), label=name)
        axes.set_ylim(bottom=0)
        style_axes(axes, title=DISTANCES[tag], x="training step", grid=True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def figure_clouds(image: Tensor, audio: Tensor) -> Figure:
    """Draws the image tokens and the audio tokens of one clip in the plane that shows most of the image tokens.

    Args:
        image: Image tokens ``[Nv, C]``.
        audio: Audio tokens ``[Na, C]``.
    """
    seen, heard, shown = project(image.detach().cpu(), audio.detach().cpu())
    figure = new_figure(5.6, 4.4)
    axes = figure.add_subplot()
    axes.scatter(*seen.T, s=22, facecolors="none", edgecolors=IMAGE, label=f"image tokens ({len(seen)})")
    axes.scatter(*heard.T, s=18, c=AUDIO, marker="^", linewidths=0, alpha=0.8, label=f"audio tokens ({len(heard)})")
    style_axes(axes, x=f"first two components of the image tokens ({shown:.0%} of their variance)", grid=True)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure
