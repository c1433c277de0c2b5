"""What an alignment objective does to tokens, seen without a network: points in the plane that follow its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from avcap.figures.style import AUDIO, FAINT, IMAGE, INK, colour, new_figure, style_axes
from avcap.losses import AlignmentObjective
from avcap.transport import sinkhorn_divergence
from avcap.types import Tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEASURED = 25  # places on the way at which the divergence is measured
_HEAVIEST = 90.0  # points^2 of the marker of the image token with the most mass


class Descent(NamedTuple):
    """The way of audio tokens down an objective."""

    places: Tensor  # [S + 1, B, Na, C], the first before any step
    measured: Tensor  # [K] steps after which the divergence was measured
    divergence: Tensor  # [K] mean Sinkhorn divergence to the image tokens
    image_mass: Tensor | None = None  # [B, Nv] what a scorer gives the image tokens in the end; None: all the same


def descend(
    objective: AlignmentObjective, audio: Tensor, image: Tensor, *, steps: int = 200, lr: float = 0.05, epoch: int = 2
) -> Descent:
    """Moves audio tokens themselves, in place of an encoder's weights, by Adam with a rate that falls linearly to 0.

    Scorers of the objective learn beside them, as in training.

    Args:
        objective: What is minimised.
        audio: Audio tokens of some clips ``[B, Na, C]``; not changed.
        image: Image tokens ``[B, Nv, C]``; they stay.
        steps: Steps of Adam.
        lr: Learning rate at the start, in the unit of the tokens.
        epoch: The epoch that the objective is told.

    Returns:
        Every place on the way.
    """
    objective.train()
    moving, still = audio.clone().requires_grad_(), Tokens(image)
    optimizer = torch.optim.Adam([moving, *objective.scorer_parameters()], lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    places = [audio.clone()]
    for _ in range(steps):
        output = objective(Tokens(moving), still, epoch=epoch)
        optimizer.zero_grad()
        (output.loss if output.scorer_loss is None else output.loss + output.scorer_loss).backward()
        optimizer.step()
        schedule.step()
        places.append(moving.detach().clone())
    scorer = getattr(objective, "image_scorer", None)
    with torch.no_grad():
        mass = None if scorer is None else scorer(still, Tokens(places[-1]))
        measured = torch.linspace(0, steps, _MEASURED).round().long().unique()
        divergence = torch.stack(
            [sinkhorn_divergence(places[step], still.x, mask_y=still.mask).mean() for step in measured]
        )
    return Descent(torch.stack(places), measured, divergence, mass)


def figure_descent(image: Tensor, descents: Mapping[str, Descent]) -> Figure:
    """Draws the ways of audio tokens, a row a clip and a column an objective, and their distance over the steps below.

    Args:
        image: Image tokens ``[B, Nv, 2]``.
        descents: Name of an objective -> its descent, all from the same start, in two dimensions.

    Returns:
        The figure.
    """
    clips = len(image)
    figure = new_figure(2.6 * len(descents) + 0.6, 2.5 * clips + 2.6)
    grid = figure.add_gridspec(clips + 1, len(descents))
    first: Axes | None = None
    for column, (name, descent) in enumerate(descents.items()):
        for clip in range(clips):
            axes = figure.add_subplot(grid[clip, column], sharex=first, sharey=first)
            first = first or axes
            _draw_ways(axes, image[clip].numpy(), descent, clip)
            style_axes(axes, title=name if clip == 0 else "", y=f"clip {clip + 1}" if column == 0 else "", grid=True)
            axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes = figure.add_subplot(grid[clips, :])
    for number, (name, descent) in enumerate(descents.items()):
        axes.plot(descent.measured.numpy(), descent.divergence.numpy(), color=colour(number), label=name, lw=1.6)
    style_axes(axes, x="step", y="Sinkhorn divergence\n(mean over the clips)", grid=True)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    if first is not None:
        handles, labels = first.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _draw_ways(axes: Axes, image: np.ndarray, descent: Descent, clip: int) -> None:
    """One clip under one objective: the image tokens, the ways, and where the audio tokens began and ended."""
    from matplotlib.collections import LineCollection

    ways = descent.places[:, clip].numpy()  # [S + 1, Na, 2]
    sizes = 26.0
    if descent.image_mass is not None:
        mass = descent.image_mass[clip].numpy()
        sizes = _HEAVIEST * mass / mass.max()
    looks = {"facecolors": "none", "edgecolors": IMAGE, "linewidths": 1.1}
    axes.scatter(*image.T, s=sizes, marker="o", label="image token", zorder=3, **looks)
    axes.add_collection(LineCollection(ways.transpose(1, 0, 2), colors=FAINT, linewidths=0.5, alpha=0.6, zorder=1))
    axes.scatter(*ways[0].T, s=12, c=FAINT, marker="^", linewidths=0, label="audio token before", zorder=2)
    axes.scatter(*ways[-1].T, s=16, c=AUDIO, marker="^", linewidths=0, label="audio token after", zorder=4)
    axes.set_aspect("equal", adjustable="box")  # a length is the same in both directions
