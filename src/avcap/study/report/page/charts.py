"""Line charts as inline SVG; their colours are the page's, so that they follow its light or dark look."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

COLOURS = 8  # classes c0 to c7 in the style sheet; dashes tell further lines apart
_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 22, 30
_POINTS = 120
_DASHES = ("", "6 3", "2 3")


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    number: int  # chooses colour and dash
    steps: np.ndarray  # [n]
    values: np.ndarray  # [n]


def line_chart(title: str, lines: Sequence[Line], *, log: bool = False) -> str:
    """Return lines, long ones averaged over stretches of steps, as an SVG element; empty if no value is finite.

    ``log`` draws on a logarithmic scale if all values are positive and span more than a factor of 20.
    """
    drawn = [_thin(line) for line in lines]
    values = np.concatenate([line.values for line in drawn])
    steps = np.concatenate([line.steps for line in drawn])
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    log = bool(log and values.min() > 0 and values.max() > 20 * values.min())
    scale = np.log10 if log else np.asarray
    low, high = (float(scale(bound)) for bound in (values.min(), values.max()))
    pad = 0.04 * (high - low) or 0.5
    low, high, last = low - pad, high + pad, max(float(steps.max()), 1.0)

    def across(step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last

    def up(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    marks = [(float(scale(v)), v) for v in ([10.0**n for n in range(-6, 7)] if log else ticks(low, high))]
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(at):.1f}" y2="{up(at):.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{up(at) + 3.5:.1f}" text-anchor="end">{value:.4g}</text>'
        for at, value in marks
        if low <= at <= high
    )
    below = "".join(
        f'<text x="{across(step):.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{step:.6g}</text>'
        for step in ticks(0, last)
    )
    paths = "".join(_path(line, scale(line.values), across, up) for line in drawn)
    name = escape(title + (" (log)" if log else ""))
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name} over steps">'
        f'<text class="name" x="{_LEFT}" y="13">{name}</text><g class="grid">{grid}{below}'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">step</text></g>{paths}</svg>'
    )


def legend(names: Sequence[str]) -> str:
    """Return the legend of the lines, numbered in this order."""
    items = "".join(
        f'<li><svg viewBox="0 0 24 8" aria-hidden="true">{_stroke(number, "M0 4H24")}</svg>{escape(name)}</li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers in a range that is not empty."""
    raw = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [round(n * step, 12) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _thin(line: Line) -> Line:
    """Average neighbouring points, so that few remain."""
    parts = min(len(line.steps), _POINTS)
    steps, values = (
        np.array([part.mean() for part in np.array_split(array, parts)]) for array in (line.steps, line.values)
    )
    return line._replace(steps=steps, values=values)


def _path(line: Line, heights: np.ndarray, across: Callable, up: Callable) -> str:
    """Return a line with a tooltip: a gap for values that are not finite, a dot for a single value."""
    places = [(across(s), up(h)) for s, h in zip(line.steps, heights, strict=True) if math.isfinite(h)]
    if not places:
        return ""
    last = f'<circle class="c{line.number % COLOURS}" cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="2"/>'
    route = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f"<g><title>{escape(line.name)}</title>{_stroke(line.number, route)}{last}</g>"


def _stroke(number: int, route: str) -> str:
    dashes = _DASHES[number // COLOURS % len(_DASHES)]
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path class="c{number % COLOURS}" d="{route}"{dash}/>'
