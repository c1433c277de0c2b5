"""Where in a picture a transport plan puts the mass of each stretch of sound."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from avcap.figures.style import INK, new_figure, style_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure


def figure_patches(
    *,
    picture: Tensor,
    fbank: Tensor,
    plan: Tensor,
    audio_time: Tensor,
    seconds: float,
    parts: int = 6,
    events: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """Draws the spectrogram, and for each part of it the picture under the plan's mass on its patches.

    Args:
        picture: RGB ``[3, H, W]`` uint8.
        fbank: Mel spectrogram ``[T, F]``; its rows cover ``seconds``, with padding if the tokens do.
        plan: Transport plan ``[Nv, Na]``, not negative: a row a patch of a square grid, line by line.
        audio_time: Middle of each audio token in seconds ``[Na]``.
        seconds: What the spectrogram covers.
        parts: Into how many stretches the time is cut.
        events: True events; what is heard is drawn over the spectrogram.

    Returns:
        The figure.

    Raises:
        ValueError: If the patches make no square, or a stretch has no audio token.
    """
    side, cuts = math.isqrt(plan.shape[0]), np.linspace(0, seconds, parts + 1)
    stretches = [(start <= audio_time) & (audio_time < end) for start, end in pairwise(cuts)]  # [Na] each
    if side**2 != plan.shape[0] or not all(stretch.any() for stretch in stretches):
        raise ValueError(
            f"a plan {list(plan.shape)} has no square of patches, or no audio token in one of {parts} parts"
        )
    mass = plan.detach().cpu().double().unflatten(0, (side, side))
    shares = [mass[..., stretch.cpu()].sum(-1).numpy() for stretch in stretches]
    shares = [share / share.mean() for share in shares]  # 1: a uniform plan
    figure = new_figure(1.6 * parts + 0.9, 3.7)
    grid = figure.add_gridspec(2, parts, height_ratios=[1, 1.3])
    sound = figure.add_subplot(grid[0, :])
    low, high = np.percentile(fbank.numpy(), [2, 99.5])
    extent = (0, seconds, 0, fbank.shape[1])
    sound.imshow(fbank.T.numpy(), origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
    for cut in cuts[1:-1]:
        sound.axvline(cut, color="white", lw=1)
    for number, event in enumerate(event for event in events if event.get("audio")):
        height = fbank.shape[1] * (0.94 - 0.12 * number)
        sound.plot(event["audio"], [height] * 2, color="white", lw=3, solid_capstyle="butt")
        name = str(event.get("name") or event.get("kind", ""))
        sound.text(event["audio"][0], height - 1.5, f" {name}", color="white", fontsize=7.5, va="top")
    sound.set_xlim(0, seconds)
    style_axes(sound, x="time of the sound (s)", y="mel bin")
    top = max(share.max() for share in shares)
    panels = [figure.add_subplot(grid[1, part]) for part in range(parts)]
    for axes, share in zip(panels, shares, strict=True):
        axes.imshow(picture.permute(1, 2, 0).numpy(), extent=(0, side, side, 0), interpolation="bilinear")
        image = axes.imshow(share, extent=(0, side, side, 0), cmap="viridis", vmin=0, vmax=top, alpha=0.5)
        axes.set(xticks=[], yticks=[])
        style_axes(axes)
    bar = figure.colorbar(image, ax=panels, shrink=0.9, aspect=14)
    bar.set_label("plan mass\n(1 = uniform plan)", fontsize=8, color=INK)
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    return figure
