"""A figure of two token clouds: the image tokens and the audio tokens of clips, in the plane of largest image variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avcap.figures.style import AUDIO, FAINT, IMAGE, INK, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def project(image: Tensor, audio: Tensor) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit two principal components, fitted on the image tokens alone, so that the plane does not move with the audio encoder.

    Args:
        image: Mean image tokens ``[n, C]``, two clips or more.
        audio: Mean audio tokens ``[m, C]``.

    Returns:
        Places ``[n, 2]`` and ``[m, 2]``, and the share of the images' variance that the plane shows.

    Raises:
        ValueError: If there are fewer than two images, or the widths differ.
    """
    import torch

    if len(image) < 2 or image.shape[1] != audio.shape[1] or image.shape[1] < 2:
        raise ValueError(
            f"a projection needs two images and tokens of one width, got {list(image.shape)} and {list(audio.shape)}"
        )
    image, audio = image.double(), audio.double()
    centre = image.mean(dim=0)
    _, lengths, axes = torch.linalg.svd(image - centre, full_matrices=False)
    axes = axes[:2] * torch.where(axes[:2].sum(dim=1, keepdim=True) < 0, -1, 1)  # the solver's sign is arbitrary
    variance = lengths.square()
    shown = float(variance[:2].sum() / variance.sum().clamp_min(torch.finfo(variance.dtype).tiny))
    return ((image - centre) @ axes.T).numpy(), ((audio - centre) @ axes.T).numpy(), shown


def figure_tokens(image: Tensor, audio: Tensor, *, joined: int = 12, title: str = "") -> Figure:
    """Draw the mean image token and the mean audio token of each clip, and join the two of a few clips.

    Args:
        image: Mean image tokens ``[n, C]``.
        audio: Mean audio tokens ``[n, C]`` of the same clips.
        joined: How many clips' two tokens to join by a line, evenly spread over the clips.
        title: A line above.

    Returns:
        A figure that no window owns: ``savefig`` writes it, TensorBoard's ``add_figure`` takes it.

    Raises:
        ValueError: If the two differ in shape, or there are fewer than two clips.
    """
    from matplotlib.collections import LineCollection

    if image.shape != audio.shape:
        raise ValueError(f"the tokens of the same clips differ in shape: {list(image.shape)} and {list(audio.shape)}")
    seen, heard, shown = project(image, audio)
    figure = new_figure(6.4, 5.6)
    axes = figure.add_subplot()
    chosen = np.unique(np.linspace(0, len(seen) - 1, num=min(joined, len(seen))).astype(int))
    lines = np.stack([seen[chosen], heard[chosen]], axis=1)  # [joined, 2, 2]
    axes.add_collection(LineCollection(lines, colors=FAINT, linewidths=0.9, zorder=1))
    axes.scatter(seen[:, 0], seen[:, 1], s=22, c=IMAGE, marker="o", linewidths=0, alpha=0.8, label="image", zorder=2)
    axes.scatter(heard[:, 0], heard[:, 1], s=26, c=AUDIO, marker="^", linewidths=0, alpha=0.8, label="audio", zorder=3)
    label = f"first two components of the image tokens ({shown:.0%} of their variance)"
    style_axes(axes, title=title, x=label, grid=True)
    axes.margins(0.06)
    axes.set_aspect("equal", adjustable="datalim")  # a length is the same distance in every direction
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure
