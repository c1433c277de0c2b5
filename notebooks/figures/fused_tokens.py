"""One clip's tokens before and after a fusion: how alike they are, and where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from avcap.figures.style import INK, new_figure, style_axes
from avcap.figures.tokens import project
from avcap.layers.normalise import l2_normalise
from avcap.transport import cosine_similarity

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

_BEFORE, _AFTER = "before fusion", "after fusion"


def figure_similarities(before: Tensor, after: Tensor, *, audio_tokens: int) -> Figure:
    """Draws the cosine similarity of every token with every other, before and after.

    Args:
        before: Tokens ``[N, C]``, those of the sound first, then those of the pictures, each in the order of time.
        after: Fused tokens ``[M, C']``, those of the sound first.
        audio_tokens: How many tokens the sound has; lines part them from those of the pictures.

    Returns:
        The figure.
    """
    figure = new_figure(8.6, 4.1)
    panels = figure.subplots(1, 2)
    for axes, tokens, title in zip(panels, (before, after), (_BEFORE, _AFTER), strict=True):
        alike = cosine_similarity(tokens.detach().cpu()[None], tokens.detach().cpu()[None])[0]  # [N, N]
        image = axes.imshow(alike.numpy(), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        pictures = len(tokens) - audio_tokens
        if pictures:
            for line in (axes.axvline, axes.axhline):
                line(audio_tokens - 0.5, color="black", lw=0.9)
        middles = [(audio_tokens - 1) / 2, audio_tokens + (pictures - 1) / 2][: 2 if pictures else 1]
        names = [f"sound ({audio_tokens})", f"pictures ({pictures})"][: len(middles)]
        axes.set_xticks(middles, names)
        axes.set_yticks(middles, names, rotation=90, va="center")
        style_axes(axes, title=title, x="token, in the order of the sequence")
    bar = figure.colorbar(image, ax=panels, shrink=0.85)
    bar.set_label("cosine similarity", fontsize=8, color=INK)
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    return figure


def figure_planes(before: Tensor, after: Tensor, *, audio_times: np.ndarray, visual_times: np.ndarray) -> Figure:
    """Draws the directions of tokens in the plane that shows most of them, coloured by time, before and after.

    Tokens are brought to length 1 first: the streams differ in length, and one would hide the other.

    Args:
        before: Tokens ``[Na + Nv, C]``, those of the sound first.
        after: Fused tokens ``[Na + Nv, C']``, or ``[Na, C']`` where the fusion keeps those of the sound only.
        audio_times: Middle of each audio token in seconds ``[Na]``.
        visual_times: Time of each visual token's picture ``[Nv]``.

    Returns:
        The figure.

    Raises:
        ValueError: If there are fused tokens that belong to neither stream.
    """
    figure = new_figure(8.6, 3.9)
    latest = float(max(audio_times.max(), visual_times.max()))
    panels = figure.subplots(1, 2)
    for axes, tokens, title in zip(panels, (before, after), (_BEFORE, _AFTER), strict=True):
        if len(tokens) not in (len(audio_times), len(audio_times) + len(visual_times)):
            raise ValueError(
                f"{len(tokens)} tokens are neither those of the sound ({len(audio_times)}) nor those and the pictures' "
                f"({len(visual_times)})"
            )
        directions = l2_normalise(tokens.detach().cpu())
        places, _, shown = project(directions, directions)
        points = _scatter(axes, places[: len(audio_times)], audio_times, latest, marker="^", label="sound")
        if len(tokens) > len(audio_times):
            points = _scatter(axes, places[len(audio_times) :], visual_times, latest, marker="o", label="pictures")
        style_axes(axes, title=title, x=f"first two components ({shown:.0%} of the variance)", grid=True)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.08)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    bar = figure.colorbar(points, ax=panels, shrink=0.9)
    bar.set_label("time in the clip (s)", fontsize=8, color=INK)
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    return figure


def _scatter(
    axes: Axes, places: np.ndarray, times: np.ndarray, latest: float, *, marker: str, label: str
) -> PathCollection:
    looks = {"vmin": 0, "vmax": latest, "s": 44 if marker == "o" else 30, "edgecolors": INK, "linewidths": 0.5}
    return axes.scatter(*places.T, c=times, cmap="plasma", marker=marker, label=label, **looks)
