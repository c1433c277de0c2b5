"""Pictures of assignment maps: what is heard, what is seen, and which of the two a fusion brought together."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avcap.figures.style import FAINT, INK, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from torch import Tensor

_WIDTH = 10.0  # inches
_COLOURS = ("#ff9d2e", "#35c4dc", "#e85d9e", "#9bdc4f", "#b08cff", "#ffd84d")
_COLUMNS = 120  # characters of a line of text below the map


def figure_map(
    *,
    fbank: Tensor | np.ndarray,
    frames: Tensor | np.ndarray,
    plan: Tensor | np.ndarray | None,
    seconds: float,
    events: Sequence[Mapping[str, Any]] | None = None,
    caption: str = "",
    references: Sequence[str] | None = None,
) -> Figure:
    """Draws frames, spectrogram and assignment map over one time axis, and the caption below.

    Tokens divide the clip evenly in time. Where a frame has several visual tokens (patches), their rows are summed.

    Args:
        fbank: Mel spectrogram ``[T, F]`` in any scale, without padding: its rows cover ``seconds``.
        frames: RGB pictures ``[N, 3, H, W]`` uint8, evenly spaced over the clip.
        plan: Assignment map ``[Nv, Na]``, not negative; ``Nv`` is the number of visual tokens in the order of time, a
            multiple of ``N`` where a frame has several, and ``Na`` that of audio tokens in the order of time (:func:`by_time`).
            None: the clip is drawn alone.
        seconds: Length of the clip.
        events: True events as ``events.jsonl`` has them: ``kind`` or ``name``, ``audio`` and ``visual``, each a pair of
            start and end in seconds or null. Drawn as bars, and as a box on the map where both are there.
        caption: What the model said.
        references: What people said.

    Returns:
        A figure that no window owns: ``savefig`` writes it, TensorBoard's ``add_figure`` takes it.

    Raises:
        ValueError: If an array has not the shape stated here, the plan is negative, or ``seconds`` is not positive.
    """
    spectrogram, pictures = _array(fbank, "fbank [T, F]", dims=2), _array(frames, "frames [N, 3, H, W]", dims=4)
    mass = None if plan is None else by_frame(_array(plan, "plan [Nv, Na]", dims=2), frames=len(pictures))
    if seconds <= 0:
        raise ValueError(f"a clip of {seconds} s cannot be drawn: seconds must be positive")
    known = [(event, _COLOURS[i % len(_COLOURS)]) for i, event in enumerate(events or ())]
    text = _lines(caption, references)
    heights = [_strip_height(pictures), 0.24 * len(known) + 0.01, 1.4, 0.22 * len(text) + 0.45]
    if mass is not None:
        heights.insert(3, 3.4)
    figure = new_figure(_WIDTH, sum(heights) + 0.9, layout=None)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[60, 1], hspace=0.09, wspace=0.03)
    grid.update(left=0.115, right=0.925, top=0.97, bottom=0.02)
    last = figure.add_subplot(grid[-2, 0])  # the one with the time axis
    _draw_frames(figure.add_subplot(grid[0, 0], sharex=last), pictures, seconds)
    _draw_events(figure.add_subplot(grid[1, 0], sharex=last), known)
    if mass is None:
        _draw_spectrogram(last, spectrogram, seconds, known)
    else:
        _draw_spectrogram(figure.add_subplot(grid[2, 0], sharex=last), spectrogram, seconds, known)
        image = _draw_plan(last, mass, seconds, known)
        bar = figure.colorbar(image, cax=figure.add_subplot(grid[3, 1]))
        bar.set_label("plan mass (1 = uniform plan)", fontsize=8, color=INK)
        bar.outline.set_visible(False)
        _tidy(bar.ax)
    _label_times(last, seconds)
    _write(figure.add_subplot(grid[-1, 0]), text, height=heights[-1])
    return figure


def draw_map(path: Path, **parts: Any) -> Figure:
    """Draws as ``figure_map`` does and writes the picture.

    Args:
        path: The file; its suffix chooses the format (``.png``, ``.svg``, ``.pdf``). Folders are made.
        **parts: The arguments of ``figure_map``.

    Returns:
        The figure.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = figure_map(**parts)
    figure.savefig(path, dpi=120)
    return figure


def by_frame(plan: np.ndarray, *, frames: int) -> np.ndarray:
    """Sums the tokens of one frame and scales the map so that 1 is what a uniform plan has.

    Args:
        plan: ``[Nv, Na]``, not negative.
        frames: How many frames there are.

    Returns:
        ``[rows, Na]``: one row a frame where ``Nv`` is a multiple of ``frames``, else one a visual token. The mean is 1.

    Raises:
        ValueError: If an entry is negative or not finite, or all are zero.
    """
    if not np.isfinite(plan).all() or (plan < 0).any() or plan.sum() == 0:
        raise ValueError("a map must be finite, not negative and not all zero; if it is a log plan, pass its exp()")
    if frames > 1 and plan.shape[0] % frames == 0:
        plan = plan.reshape(frames, -1, plan.shape[1]).sum(1)
    return plan / plan.mean()


def by_time(plan: Tensor, *, bands: int) -> Tensor:
    """Sums the audio tokens of one moment over the bands of frequencies: a map ``[..., Na]`` -> ``[..., Na / bands]``.

    Args:
        plan: Map whose audio tokens run through the time of the clip once for each band.
        bands: How often (``bands`` of an audio encoder).

    Raises:
        ValueError: If the tokens cannot be cut into so many bands.
    """
    if plan.shape[-1] % bands:
        raise ValueError(f"a map {list(plan.shape)} has {plan.shape[-1]} audio tokens, which make no {bands} bands")
    return plan.unflatten(-1, (bands, -1)).sum(-2)


def _array(values: Tensor | np.ndarray, name: str, *, dims: int) -> np.ndarray:
    """Any tensor as a float array of the stated number of dimensions."""
    import torch

    array = torch.as_tensor(values).detach().float().cpu().numpy()
    if array.ndim != dims or 0 in array.shape or (dims == 4 and array.shape[1] != 3):
        raise ValueError(f"expected {name}, got the shape {list(array.shape)}")
    return array


def _strip_height(pictures: np.ndarray) -> float:
    """Height in inches at which frames, side by side, fill the width."""
    count, _, height, width = pictures.shape
    return min(1.3, 0.8 * _WIDTH / count * height / width) + 0.2


def _draw_frames(axes: Axes, pictures: np.ndarray, seconds: float) -> None:
    """Frames at their times, in their own proportions, with the time above."""
    from matplotlib.transforms import blended_transform_factory

    count, _, height, width = pictures.shape
    step = seconds / count
    box, whole = axes.get_position(), axes.figure
    inches = whole.bbox.width / whole.dpi, whole.bbox.height / whole.dpi
    per_second, room = box.width * inches[0] / seconds, box.height * inches[1]
    shown = min(step * 0.96, (room - 0.2) * width / height / per_second)  # seconds wide
    tall = shown * per_second * height / width / room
    place = blended_transform_factory(axes.transData, axes.transAxes)
    for i, picture in enumerate(pictures.astype(np.uint8).transpose(0, 2, 3, 1)):
        middle = (i + 0.5) * step
        inset = axes.inset_axes((middle - shown / 2, 0, shown, tall), transform=place)
        inset.imshow(picture, aspect="auto", interpolation="bilinear")
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set_visible(False)
        time = f"{middle:.1f} s" if i == 0 else f"{middle:.1f}"
        axes.text(middle, tall + 0.02, time, transform=place, ha="center", va="bottom", fontsize=6.5, color=FAINT)
    axes.set(yticks=[], ylim=(0, 1))
    _tidy(axes, times=False)


def _draw_events(axes: Axes, events: Sequence[tuple[Mapping, str]]) -> None:
    """A line for each true event: a thick bar while it is heard, a thin one below while it is seen."""
    for i, (event, colour) in enumerate(events):
        for key, offset, thickness in (("audio", -0.12, 5), ("visual", 0.24, 2)):
            if span := event.get(key):
                axes.plot(span, [i + offset] * 2, color=colour, lw=thickness, solid_capstyle="butt")
    names = [str(event.get("name") or event.get("kind", "")) for event, _ in events]
    axes.set_yticks(range(len(names)), labels=[textwrap.shorten(name, 20, placeholder="…") for name in names])
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    _tidy(axes, times=False)
    if events:
        axes.text(1.01, 0.5, "thick: heard\nthin: seen", transform=axes.transAxes, fontsize=6, color=FAINT, va="center")


def _draw_spectrogram(
    axes: Axes, spectrogram: np.ndarray, seconds: float, events: Sequence[tuple[Mapping, str]]
) -> None:
    """The spectrogram, low bins below, with the start and end of each audible event."""
    low, high = np.percentile(spectrogram, [2, 99.5])
    extent = (0, seconds, 0, spectrogram.shape[1])
    limits = {"vmin": low, "vmax": max(high, low + 1e-6)}
    axes.imshow(spectrogram.T, origin="lower", aspect="auto", extent=extent, cmap="magma", **limits)
    for event, colour in events:
        for time in event.get("audio") or ():
            axes.axvline(time, color=colour, lw=1.2, ls=(0, (3, 2)))
    axes.set_ylabel("mel bin", fontsize=8, color=INK)
    _tidy(axes, times=False)


def _draw_plan(axes: Axes, mass: np.ndarray, seconds: float, events: Sequence[tuple[Mapping, str]]) -> AxesImage:
    """The map, the time of the picture downwards, and a named box for each event that is heard and seen."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    top = max(float(mass.max()), 1.01)
    extent = (0, seconds, seconds, 0)
    image = axes.imshow(mass, aspect="auto", extent=extent, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
    for event, colour in events:
        heard, seen = event.get("audio"), event.get("visual")
        if heard and seen:
            edge = [withStroke(linewidth=3.2, foreground="black", alpha=0.75)]
            size = (heard[1] - heard[0], seen[1] - seen[0])
            axes.add_patch(Rectangle((heard[0], seen[0]), *size, fill=False, ec=colour, lw=1.8, path_effects=edge))
            name = str(event.get("name") or event.get("kind", ""))
            corner = heard[0] + 0.008 * seconds, seen[0] + 0.012 * seconds
            axes.text(*corner, name, color="white", fontsize=7.5, va="top", path_effects=edge, clip_on=True)
    axes.set_ylabel("time of the picture (s)", fontsize=8, color=INK)
    axes.set_ylim(seconds, 0)
    axes.locator_params(axis="y", nbins=8)
    return image


def _label_times(axes: Axes, seconds: float) -> None:
    """The time axis that all others follow."""
    axes.set_xlabel("time of the sound (s)", fontsize=8, color=INK)
    axes.set_xlim(0, seconds)
    axes.locator_params(axis="x", nbins=12)
    _tidy(axes)


def _tidy(axes: Axes, *, times: bool = True) -> None:
    """Thin, quiet axes; without numbers on the time axis where another one below has them."""
    tidy(axes)
    axes.tick_params(axis="x", bottom=times, labelbottom=times)


def _lines(caption: str, references: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """The text below the map as (line, weight, colour)."""
    lines = [(line, "bold", INK) for line in textwrap.wrap(caption, _COLUMNS)]
    for reference in references or ():
        wrapped = textwrap.wrap(reference, _COLUMNS, initial_indent="– ", subsequent_indent="   ")
        lines += [(line, "normal", FAINT) for line in wrapped]
    return lines


def _write(axes: Axes, lines: Sequence[tuple[str, str, str]], *, height: float) -> None:
    """Writes the text into an axis ``height`` inches high, below the label of the axis above."""
    axes.axis("off")
    for i, (line, weight, colour) in enumerate(lines):
        down = 1 - (0.45 + 0.22 * i) / height
        axes.text(0, down, line, fontsize=9, fontweight=weight, color=colour, va="center", transform=axes.transAxes)
