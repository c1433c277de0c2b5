"""Objects, weather and water."""

from __future__ import annotations

from math import cos, pi, sin

from avcap.scenes.drawings.canvas import DARK, RGB, SKIN, WHITE, Canvas, shade

WATER: RGB = (64, 150, 235)
WOOD: RGB = (170, 112, 58)
STEEL: RGB = (168, 174, 184)


def umbrella(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw an umbrella; drops fall around it."""
    canvas.half_disc(0.1, 0.2, 0.9, 1.0, fill=colour)
    for x in (0.1, 0.37, 0.63):
        canvas.half_disc(x, 0.54, x + 0.27, 0.68, fill=shade(colour, 0.7))
    canvas.line([(0.5, 0.58), (0.5, 0.92)], DARK, 0.04)
    canvas.arc(0.43, 0.9, 0.07, 0, 180, DARK, 0.04)
    if phase:
        for number, x in enumerate((0.06, 0.2, 0.34, 0.5, 0.66, 0.8, 0.94)):
            for row in (0.0, 0.36, 0.72):
                y = (0.02 + row + 0.17 * (phase - 1) + 0.09 * (number % 3)) % 1.0
                if not (0.2 < y < 0.56 and 0.12 < x < 0.88):
                    canvas.line([(x, y), (x - 0.03, y + 0.13)], WATER, 0.035)


def pan(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a frying pan on a flame with an egg; fat spatters and steams."""
    canvas.line([(0.66, 0.56), (1.0, 0.46)], DARK, 0.08)
    canvas.disc(0.4, 0.58, 0.38, DARK, tall=0.18)
    canvas.disc(0.4, 0.56, 0.31, (86, 86, 92), tall=0.13)
    canvas.disc(0.4, 0.55, 0.2, WHITE, tall=0.09)
    canvas.disc(0.42, 0.54, 0.08, (252, 190, 30), tall=0.05)
    for x in (0.16, 0.32, 0.48, 0.64):
        high = 0.1 + (0.05 if (phase + int(x * 100)) % 2 else 0.0)
        canvas.shape([(x - 0.07, 0.96), (x, 0.94 - high - 0.06), (x + 0.07, 0.96)], colour)
    if phase:
        for x, y in ((0.14, 0.3), (0.3, 0.16), (0.46, 0.26), (0.62, 0.14)):
            canvas.disc(x, y + 0.08 * (phase - 1), 0.045, (255, 226, 120))
            canvas.arc(x + 0.06, y + 0.16, 0.06, 90, 270, WHITE, 0.03)


def hammer(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a hammer over a nail in a plank; it swings."""
    canvas.box(0.0, 0.82, 1.0, 0.98, WOOD)
    canvas.box(0.22, 0.68, 0.27, 0.84, STEEL)
    canvas.box(0.17, 0.65, 0.32, 0.7, STEEL)
    if phase == 1:
        canvas.line([(0.26, 0.5), (0.96, 0.56)], colour, 0.1)
        canvas.box(0.14, 0.32, 0.36, 0.65, DARK, round_by=0.02)
    else:
        canvas.line([(0.36, 0.2), (0.92, 0.6)], colour, 0.1)
        canvas.shape([(0.3, 0.02), (0.5, 0.18), (0.32, 0.42), (0.12, 0.26)], DARK)


def door(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a door with panels and a fist that knocks."""
    canvas.box(0.1, 0.0, 0.72, 1.0, shade(colour, 0.55))
    canvas.box(0.15, 0.04, 0.67, 1.0, colour)
    for y in (0.1, 0.58):
        canvas.box(0.22, y, 0.6, y + 0.34, shade(colour, 0.75))
    canvas.disc(0.61, 0.53, 0.04, (250, 220, 80))
    near = {0: 0.2, 1: 0.0, 2: 0.12}[phase]
    canvas.line([(0.5 + near, 0.36), (1.0, 0.6)], (60, 90, 170), 0.12)
    canvas.disc(0.48 + near, 0.34, 0.1, SKIN[1])


def device(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a desk device with a keypad and a lamp that blinks."""
    canvas.shape([(0.18, 0.36), (0.82, 0.36), (0.96, 0.9), (0.04, 0.9)], colour)
    canvas.box(0.26, 0.42, 0.74, 0.56, (30, 60, 40))
    canvas.box(0.3, 0.45, 0.7, 0.53, (120, 255, 140) if phase == 1 else (60, 120, 70))
    for y in (0.62, 0.71, 0.8):
        for x in (0.32, 0.46, 0.6):
            canvas.box(x, y, x + 0.09, y + 0.06, WHITE)
    canvas.disc(0.5, 0.24, 0.11, (255, 40, 40) if phase else (110, 40, 40))
    if phase:
        for angle in range(200, 350, 30):
            x, y = cos(angle * pi / 180), sin(angle * pi / 180)
            reach = 0.2 + 0.03 * phase
            canvas.line([(0.5 + 0.15 * x, 0.24 + 0.15 * y), (0.5 + reach * x, 0.24 + reach * y)], (255, 210, 60), 0.03)


def cloud(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a storm cloud over a tree that bends, with a bolt."""
    bend = {0: 0.0, 1: 0.14, 2: 0.22}[phase]
    canvas.line([(0.74, 1.0), (0.74 - bend / 2, 0.76)], (100, 66, 36), 0.07)
    canvas.disc(0.74 - bend, 0.68, 0.15, (40, 120, 50), tall=0.12)
    dark = shade(colour, 0.55)
    for x, y, radius in ((0.24, 0.36, 0.2), (0.48, 0.24, 0.23), (0.72, 0.34, 0.22)):
        canvas.disc(x, y, radius, dark)
    canvas.box(0.1, 0.36, 0.9, 0.55, dark, round_by=0.09)
    if phase:
        canvas.shape(
            [(0.36, 0.5), (0.48, 0.5), (0.4, 0.68), (0.5, 0.68), (0.26, 0.98), (0.34, 0.74), (0.26, 0.74)],
            (255, 226, 60),
        )


def golden_bell(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a hanging golden bell that swings."""
    canvas.box(0.08, 0.0, 0.92, 0.09, WOOD)
    lean = {0: 0.0, 1: -0.16, 2: 0.16}[phase]
    canvas.line([(0.5, 0.08), (0.5 + lean * 0.2, 0.2)], DARK, 0.06)
    gold = (232, 176, 40)
    canvas.disc(0.5 - lean * 0.9, 0.88, 0.09, DARK)
    canvas.shape([(0.34, 0.26), (0.66, 0.26), (0.78 + lean, 0.76 + lean * 0.3), (0.22 + lean, 0.76 - lean * 0.3)], gold)
    canvas.disc(0.5, 0.27, 0.16, gold, tall=0.1)
    canvas.line([(0.14 + lean, 0.78 - lean * 0.3), (0.86 + lean, 0.78 + lean * 0.3)], shade(gold, 0.7), 0.09)
    canvas.line([(0.32 + lean / 2, 0.5), (0.68 + lean / 2, 0.5)], colour, 0.05)


def clock(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a round wall clock whose hand moves."""
    canvas.disc(0.5, 0.5, 0.48, colour)
    canvas.disc(0.5, 0.5, 0.39, WHITE)
    for hour in range(12):
        x, y = cos(hour * 30 * pi / 180), sin(hour * 30 * pi / 180)
        canvas.line([(0.5 + 0.32 * x, 0.5 + 0.32 * y), (0.5 + 0.37 * x, 0.5 + 0.37 * y)], DARK, 0.03)
    angle = {0: -90, 1: 0, 2: 90}[phase] * pi / 180
    canvas.line([(0.5, 0.5), (0.5 + 0.3 * cos(angle), 0.5 + 0.3 * sin(angle))], DARK, 0.05)
    canvas.line([(0.5, 0.5), (0.34, 0.36)], DARK, 0.06)
    canvas.disc(0.5, 0.5, 0.05, (210, 40, 40))


def tap(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a tap over a sink; water falls while it runs."""
    canvas.box(0.62, 0.16, 0.8, 0.7, STEEL, round_by=0.03)
    canvas.box(0.26, 0.16, 0.78, 0.32, STEEL, round_by=0.05)
    canvas.box(0.24, 0.26, 0.4, 0.42, STEEL)
    canvas.box(0.58, 0.02, 0.86, 0.1, colour, round_by=0.03)
    canvas.box(0.68, 0.08, 0.76, 0.18, colour)
    canvas.shape([(0.02, 0.72), (0.98, 0.72), (0.86, 0.98), (0.14, 0.98)], WHITE)
    canvas.shape([(0.02, 0.72), (0.98, 0.72), (0.95, 0.79), (0.05, 0.79)], (200, 206, 212))
    if phase:
        canvas.box(0.27 + 0.01 * phase, 0.42, 0.37, 0.74, WATER)
        canvas.disc(0.32, 0.75, 0.12 + 0.04 * phase, WATER, tall=0.05)


def sea(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a beach: rolling waves with white crests."""
    canvas.box(0.0, 0.42, 1.0, 0.86, (24, 110, 180))
    canvas.box(0.0, 0.84, 1.0, 1.0, (236, 212, 150))
    for row, y in enumerate((0.46, 0.62, 0.78)):
        shift = 0.11 * phase + 0.1 * row
        for x in (-0.25, 0.1, 0.45, 0.8):
            canvas.disc(x + shift, y, 0.14, (44, 140, 205), tall=0.08 + 0.06 * phase * (row != 1))
            canvas.arc(x + shift, y, 0.13, 200, 350, WHITE, 0.045)
    canvas.shape([(0.66, 0.46), (0.96, 0.46), (0.88, 0.54), (0.72, 0.54)], colour)
    canvas.shape([(0.8, 0.14), (0.8, 0.44), (0.98, 0.44)], WHITE)
