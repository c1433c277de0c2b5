"""Animals."""

from __future__ import annotations

from avcap.scenes.drawings.canvas import DARK, RGB, WHITE, Canvas, shade

BEAK: RGB = (250, 170, 30)
TONGUE: RGB = (230, 70, 80)


def dog(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a dog seen from the side; opens its mouth and wags."""
    tail = {0: 0.3, 1: 0.16, 2: 0.42}[phase]
    canvas.line([(0.14, 0.54), (0.02, tail)], colour, 0.07)
    canvas.box(0.1, 0.46, 0.66, 0.72, colour, round_by=0.1)
    for x in (0.12, 0.26, 0.46, 0.57):
        canvas.box(x, 0.66, x + 0.09, 0.96, shade(colour, 0.85))
    canvas.disc(0.68, 0.36, 0.18, colour)
    canvas.box(0.74, 0.32, 0.98, 0.45, shade(colour, 1.2), round_by=0.04)
    canvas.disc(0.96, 0.34, 0.04, DARK)
    if phase:
        drop = 0.05 * phase
        canvas.shape([(0.74, 0.45), (0.95, 0.45), (0.92, 0.5 + drop), (0.74, 0.54)], TONGUE)
    canvas.disc(0.57, 0.34, 0.08, shade(colour, 0.6), tall=0.16)
    canvas.disc(0.74, 0.29, 0.03, DARK)


def cat(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a sitting cat from the front with pointed ears."""
    canvas.disc(0.5, 0.78, 0.26, colour, tall=0.24)
    canvas.line([(0.74, 0.9), (0.94, 0.74 - 0.1 * phase), (0.88, 0.5)], colour, 0.08)
    for side in (-1, 1):
        canvas.shape([(0.5 + side * 0.32, 0.04), (0.5 + side * 0.3, 0.36), (0.5 + side * 0.08, 0.2)], colour)
        canvas.shape([(0.5 + side * 0.28, 0.12), (0.5 + side * 0.26, 0.3), (0.5 + side * 0.14, 0.2)], (240, 150, 160))
    canvas.disc(0.5, 0.4, 0.32, colour, tall=0.26)
    for side in (-1, 1):
        canvas.disc(0.5 + side * 0.13, 0.36, 0.07, (150, 220, 80))
        canvas.disc(0.5 + side * 0.13, 0.36, 0.025, DARK, tall=0.06)
        canvas.line([(0.5 + side * 0.12, 0.5), (0.5 + side * 0.46, 0.46)], WHITE, 0.02)
    canvas.shape([(0.46, 0.44), (0.54, 0.44), (0.5, 0.49)], (240, 110, 130))
    if phase:
        canvas.disc(0.5, 0.56, 0.07, (120, 20, 30), tall=0.03 + 0.03 * phase)


def rooster(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a rooster with a red comb and a dark tail."""
    canvas.shape([(0.3, 0.6), (0.0, 0.2), (0.06, 0.5), (0.0, 0.56), (0.2, 0.78)], (30, 90, 70))
    canvas.disc(0.42, 0.62, 0.26, colour, tall=0.2)
    neck = 0.06 * phase
    canvas.shape([(0.46, 0.62), (0.66, 0.62), (0.74, 0.26 - neck), (0.58, 0.26 - neck)], colour)
    canvas.disc(0.67, 0.25 - neck, 0.12, colour)
    for x in (0.59, 0.67, 0.75):
        canvas.disc(x, 0.12 - neck, 0.055, (220, 30, 30))
    canvas.disc(0.74, 0.42 - neck, 0.05, (220, 30, 30), tall=0.08)
    gap = 0.04 * phase
    canvas.shape([(0.77, 0.2 - neck), (0.96, 0.24 - neck - gap), (0.77, 0.27 - neck)], BEAK)
    canvas.shape([(0.77, 0.27 - neck), (0.94, 0.29 - neck + gap), (0.77, 0.32 - neck)], BEAK)
    canvas.disc(0.7, 0.23 - neck, 0.025, DARK)
    for x in (0.36, 0.5):
        canvas.line([(x, 0.8), (x, 0.97), (x + 0.08, 0.97)], BEAK, 0.04)


def bird(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a small round bird on a twig; its wing beats."""
    canvas.line([(0.0, 0.86), (1.0, 0.8)], (110, 74, 40), 0.06)
    canvas.shape([(0.3, 0.6), (0.02, 0.5), (0.06, 0.66)], shade(colour, 0.6))
    canvas.disc(0.48, 0.56, 0.27, colour, tall=0.24)
    canvas.disc(0.52, 0.66, 0.18, WHITE, tall=0.12)
    canvas.disc(0.66, 0.36, 0.17, colour)
    canvas.disc(0.71, 0.33, 0.04, WHITE)
    canvas.disc(0.72, 0.33, 0.022, DARK)
    gap = 0.035 * phase
    canvas.shape([(0.81, 0.32), (0.98, 0.36 - gap), (0.81, 0.38)], BEAK)
    canvas.shape([(0.81, 0.37), (0.96, 0.4 + gap), (0.81, 0.43)], BEAK)
    tip = {0: 0.66, 1: 0.1, 2: 0.9}[phase]
    canvas.shape([(0.3, 0.5), (0.58, 0.5), (0.24, tip)], shade(colour, 0.55))


def duck(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a duck swimming on a pond."""
    canvas.disc(0.5, 0.84, 0.5, (70, 150, 200), tall=0.14)
    canvas.shape([(0.2, 0.6), (0.02, 0.46), (0.1, 0.72)], shade(colour, 0.8))
    canvas.disc(0.42, 0.66, 0.3, colour, tall=0.18)
    canvas.box(0.58, 0.28, 0.72, 0.6, colour)
    canvas.disc(0.66, 0.27, 0.16, (20, 120, 60))
    canvas.box(0.58, 0.42, 0.73, 0.46, WHITE)
    gap = 0.045 * phase
    canvas.shape([(0.79, 0.22), (1.0, 0.27 - gap), (0.79, 0.3)], BEAK)
    canvas.shape([(0.79, 0.29), (0.98, 0.33 + gap), (0.79, 0.36)], BEAK)
    canvas.disc(0.7, 0.23, 0.03, DARK)
    canvas.disc(0.36, 0.62 - 0.04 * phase, 0.16, shade(colour, 0.7), tall=0.09)
