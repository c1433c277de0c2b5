"""Figures of assignment maps: which sounds and frames a fusion has matched."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from avcap.figures.style import FAINT, INK, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure
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
    fbank_time: Tensor | np.ndarray | None = None,
    frames_time: Tensor | np.ndarray | None = None,
    visual_time: Tensor | np.ndarray | None = None,
    audio_time: Tensor | np.ndarray | None = None,
    events: Sequence[Mapping[str, Any]] | None = None,
    caption: str = "",
    references: Sequence[str] | None = None,
) -> Figure:
    """Draw frames, spectrogram and assignment map over one time axis, and the caption below.

    Everything stands at its own time, in whatever order it comes; tokens of one time (patches of a frame, bands of a
    sound) are summed.

    Args:
        fbank: Mel spectrogram ``[T, F]`` in any scale, without padding.
        frames: RGB frames ``[N, 3, H, W]`` uint8.
        plan: Assignment map ``[Nv, Na]``, not negative. None: the clip is drawn alone.
        seconds: Length of the clip.
        fbank_time: Middle of each row of the spectrogram in seconds ``[T]``, increasing; None: they cover ``seconds`` evenly.
        frames_time: Time of each frame ``[N]``; None: at the middles of equal parts of ``seconds``.
        visual_time: Middle of each visual token ``[Nv]``; a token whose time is NaN is left out. Needed with a plan.
        audio_time: Middle of each audio token ``[Na]``, likewise.
        events: True events as ``events.jsonl`` has them: ``kind`` or ``name``, ``audio`` and ``visual``, each a pair of
            start and end in seconds or null. Drawn as bars, and as a box on the map where both are there.
        caption: What the model said.
        references: What people said.

    Returns:
        A figure that no window owns: ``savefig`` writes it, TensorBoard's ``add_figure`` takes it.

    Raises:
        ValueError: If an array has not the shape stated here, the plan is negative or has no times, or ``seconds`` is not positive.
    """
    spectrogram, images = _array(fbank, "fbank [T, F]", dims=2), _array(frames, "frames [N, 3, H, W]", dims=4)
    if not seconds > 0:
        raise ValueError(f"a clip of {seconds} s cannot be drawn: seconds must be positive")
    heard_at = _times(fbank_time, "fbank_time", len(spectrogram), seconds)
    seen_at = _times(frames_time, "frames_time", len(images), seconds)
    timed = None
    if plan is not None:
        if visual_time is None or audio_time is None:
            raise ValueError("a plan needs visual_time and audio_time, the times of its rows and columns in seconds")
        timed = by_time(plan, visual_time=visual_time, audio_time=audio_time)
    known = [(event, _COLOURS[i % len(_COLOURS)]) for i, event in enumerate(events or ())]
    text = _lines(caption, references)
    heights = [_strip_height(images), 0.24 * len(known) + 0.01, 1.4, 0.22 * len(text) + 0.45]
    if timed is not None:
        heights.insert(3, 3.4)
    figure = new_figure(_WIDTH, sum(heights) + 0.9, layout=None)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[60, 1], hspace=0.09, wspace=0.03)
    grid.update(left=0.115, right=0.925, top=0.97, bottom=0.02)
    last = figure.add_subplot(grid[-2, 0])  # the one with the time axis
    _draw_frames(figure.add_subplot(grid[0, 0], sharex=last), images, seen_at, seconds)
    _draw_events(figure.add_subplot(grid[1, 0], sharex=last), known)
    if timed is None:
        _draw_spectrogram(last, spectrogram, heard_at, known)
    else:
        _draw_spectrogram(figure.add_subplot(grid[2, 0], sharex=last), spectrogram, heard_at, known)
        image = _draw_plan(last, timed, seconds, known)
        bar = figure.colorbar(image, cax=figure.add_subplot(grid[3, 1]))
        bar.set_label("plan mass (1 = uniform plan)", fontsize=8, color=INK)
        bar.outline.set_visible(False)
        _tidy(bar.ax)
    _label_times(last, seconds)
    _write(figure.add_subplot(grid[-1, 0]), text, height=heights[-1])
    return figure


def draw_map(path: Path, **parts: Any) -> Figure:
    """Draw ``parts`` as ``figure_map`` does, and write the image file; its suffix chooses the format (``.png``, ``.svg``, ``.pdf``)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = figure_map(**parts)
    figure.savefig(path, dpi=120)
    return figure


class TimedMap(NamedTuple):
    """An assignment map over time."""

    mass: np.ndarray  # [times of frames, times of sound]; 1 is what a uniform plan has
    visual_time: np.ndarray  # seconds, increasing
    audio_time: np.ndarray


def by_time(
    plan: Tensor | np.ndarray, *, visual_time: Tensor | np.ndarray, audio_time: Tensor | np.ndarray
) -> TimedMap:
    """Sum the tokens of one time, sort by time, and scale so that 1 is what a uniform plan has.

    Args:
        plan: ``[Nv, Na]``, not negative.
        visual_time: Middle of each visual token in seconds ``[Nv]``; a token whose time is NaN is left out.
        audio_time: Middle of each audio token ``[Na]``, likewise.

    Raises:
        ValueError: If a shape is another, an entry is negative or not finite, or all that have a time are zero.
    """
    values = _array(plan, "plan [Nv, Na]", dims=2).astype(np.float64)
    rows, columns = _array(visual_time, "visual_time [Nv]", dims=1), _array(audio_time, "audio_time [Na]", dims=1)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"a plan {list(values.shape)} cannot have the times of {len(rows)} and {len(columns)} tokens")
    values = values[~np.isnan(rows)][:, ~np.isnan(columns)]
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() == 0:
        raise ValueError("a map must be finite, not negative and not all zero; if it is a log plan, pass its exp()")
    (visual, row, visual_tokens), (audio, column, audio_tokens) = _distinct(rows), _distinct(columns)
    mass = np.zeros((len(visual), len(audio)))
    np.add.at(mass, (row[:, None], column), values)
    return TimedMap(mass / (values.mean() * np.outer(visual_tokens, audio_tokens)), visual, audio)


def edges(times: np.ndarray) -> np.ndarray:
    """Return the edges ``[N + 1]`` of cells at increasing times ``[N]``: halfway to the neighbours.

    The outer cells are as wide on their other side, but begin at 0 at the earliest. A single time is the middle of the clip.
    """
    if len(times) == 1:
        return np.array([0.0, 2 * times[0]])
    halves = np.diff(times) / 2
    return np.concatenate([[max(0.0, times[0] - halves[0])], times[:-1] + halves, [times[-1] + halves[-1]]])


def _distinct(times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct known times in order, the place of each token among them, and how many tokens each has."""
    known = times[~np.isnan(times)].astype(np.float64).round(4)  # float32 holds 0.1 ms
    return np.unique(known, return_inverse=True, return_counts=True)


def _times(times: Tensor | np.ndarray | None, name: str, count: int, seconds: float) -> np.ndarray:
    """Return the given times, or the middles of equal parts."""
    if times is None:
        return (np.arange(count) + 0.5) * seconds / count
    array = _array(times, f"{name} [{count}]", dims=1)
    if len(array) != count or not np.isfinite(array).all():
        raise ValueError(f"{name} must hold the times of all {count}, got {len(array)} of which some may be unknown")
    return array


def _array(values: Tensor | np.ndarray, name: str, *, dims: int) -> np.ndarray:
    """Convert a tensor to a float array, and check its number of dimensions."""
    import torch

    array = torch.as_tensor(values).detach().float().cpu().numpy()
    if array.ndim != dims or 0 in array.shape or (dims == 4 and array.shape[1] != 3):
        raise ValueError(f"expected {name}, got the shape {list(array.shape)}")
    return array


def _strip_height(images: np.ndarray) -> float:
    """Compute the height in inches at which frames, side by side, fill the width."""
    count, _, height, width = images.shape
    return min(1.3, 0.8 * _WIDTH / count * height / width) + 0.2


def _draw_frames(axes: Axes, images: np.ndarray, times: np.ndarray, seconds: float) -> None:
    """Draw frames at their times, in their own proportions, with the time above."""
    from matplotlib.transforms import blended_transform_factory

    _, _, height, width = images.shape
    step = np.diff(np.unique(times)).min(initial=seconds)
    box, whole = axes.get_position(), axes.figure
    inches = whole.bbox.width / whole.dpi, whole.bbox.height / whole.dpi
    per_second, room = box.width * inches[0] / seconds, box.height * inches[1]
    shown = min(step * 0.96, (room - 0.2) * width / height / per_second)  # seconds wide
    tall = shown * per_second * height / width / room
    place = blended_transform_factory(axes.transData, axes.transAxes)
    for i, (middle, frame) in enumerate(zip(times, images.astype(np.uint8).transpose(0, 2, 3, 1), strict=True)):
        inset = axes.inset_axes((middle - shown / 2, 0, shown, tall), transform=place)
        inset.imshow(frame, aspect="auto", interpolation="bilinear")
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set_visible(False)
        time = f"{middle:.1f} s" if i == 0 else f"{middle:.1f}"
        axes.text(middle, tall + 0.02, time, transform=place, ha="center", va="bottom", fontsize=6.5, color=FAINT)
    axes.set(yticks=[], ylim=(0, 1))
    _tidy(axes, times=False)


def _draw_events(axes: Axes, events: Sequence[tuple[Mapping, str]]) -> None:
    """Draw a line for each true event: a thick bar while it is heard, a thin one below while it is seen."""
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
    axes: Axes, spectrogram: np.ndarray, times: np.ndarray, events: Sequence[tuple[Mapping, str]]
) -> None:
    """Draw the spectrogram, low bins below, with the start and end of each audible event."""
    low, high = np.percentile(spectrogram, [2, 99.5])
    start, *_, end = edges(times)
    extent = (start, end, 0, spectrogram.shape[1])
    limits = {"vmin": low, "vmax": max(high, low + 1e-6)}
    axes.imshow(spectrogram.T, origin="lower", aspect="auto", extent=extent, cmap="magma", **limits)
    for event, colour in events:
        for time in event.get("audio") or ():
            axes.axvline(time, color=colour, lw=1.2, ls=(0, (3, 2)))
    axes.set_ylabel("mel bin", fontsize=8, color=INK)
    _tidy(axes, times=False)


def _draw_plan(axes: Axes, timed: TimedMap, seconds: float, events: Sequence[tuple[Mapping, str]]) -> QuadMesh:
    """Draw the map, the time of the frames downwards, and a named box for each event that is heard and seen."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    top = max(float(timed.mass.max()), 1.01)
    cells = edges(timed.audio_time), edges(timed.visual_time)
    image = axes.pcolormesh(*cells, timed.mass, cmap="viridis", vmin=0, vmax=top)
    for event, colour in events:
        heard, seen = event.get("audio"), event.get("visual")
        if heard and seen:
            edge = [withStroke(linewidth=3.2, foreground="black", alpha=0.75)]
            size = (heard[1] - heard[0], seen[1] - seen[0])
            axes.add_patch(Rectangle((heard[0], seen[0]), *size, fill=False, ec=colour, lw=1.8, path_effects=edge))
            name = str(event.get("name") or event.get("kind", ""))
            corner = heard[0] + 0.008 * seconds, seen[0] + 0.012 * seconds
            axes.text(*corner, name, color="white", fontsize=7.5, va="top", path_effects=edge, clip_on=True)
    axes.set_ylabel("time of the frame (s)", fontsize=8, color=INK)
    axes.set_ylim(seconds, 0)
    axes.locator_params(axis="y", nbins=8)
    return image


def _label_times(axes: Axes, seconds: float) -> None:
    """Set up the time axis that all others share."""
    axes.set_xlabel("time of the sound (s)", fontsize=8, color=INK)
    axes.set_xlim(0, seconds)
    axes.locator_params(axis="x", nbins=12)
    _tidy(axes)


def _tidy(axes: Axes, *, times: bool = True) -> None:
    """Style the axes; hide the numbers of the time axis if another one below has them."""
    style_axes(axes)
    axes.tick_params(axis="x", bottom=times, labelbottom=times)


def _lines(caption: str, references: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Return the text below the map as (line, weight, colour)."""
    lines = [(line, "bold", INK) for line in textwrap.wrap(caption, _COLUMNS)]
    for reference in references or ():
        wrapped = textwrap.wrap(reference, _COLUMNS, initial_indent="– ", subsequent_indent="   ")
        lines += [(line, "normal", FAINT) for line in wrapped]
    return lines


def _write(axes: Axes, lines: Sequence[tuple[str, str, str]], *, height: float) -> None:
    """Write the text into an axis ``height`` inches high, below the label of the axis above."""
    axes.axis("off")
    for i, (line, weight, colour) in enumerate(lines):
        down = 1 - (0.45 + 0.22 * i) / height
        axes.text(0, down, line, fontsize=9, fontweight=weight, color=colour, va="center", transform=axes.transAxes)
