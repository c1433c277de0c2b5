"""Vehicles. In all drawings phase 0 is at rest, phases 1 and 2 alternate while the thing sounds."""

from __future__ import annotations

from avcap.scenes.drawings.canvas import DARK, RGB, WHITE, Canvas, shade

SMOKE: RGB = (196, 196, 200)
GLASS: RGB = (176, 220, 244)


def _wheel(canvas: Canvas, x: float, y: float, radius: float, phase: int) -> None:
    canvas.disc(x, y, radius, DARK)
    canvas.disc(x, y, radius * 0.45, WHITE if phase != 2 else (150, 150, 150))


def truck(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a box truck seen from the side; puffs smoke."""
    canvas.box(0.02, 0.22, 0.64, 0.74, colour)
    canvas.box(0.02, 0.42, 0.64, 0.5, shade(colour, 0.7))
    canvas.box(0.66, 0.36, 0.97, 0.74, shade(colour, 0.85), round_by=0.03)
    canvas.box(0.76, 0.42, 0.94, 0.56, GLASS)
    canvas.box(0.02, 0.72, 0.97, 0.78, DARK)
    for x in (0.2, 0.48, 0.82):
        _wheel(canvas, x, 0.82, 0.11, phase)
    if phase:
        canvas.disc(0.66, 0.14 - 0.04 * phase, 0.05 + 0.03 * phase, SMOKE)
        canvas.disc(0.54, 0.08, 0.03 * phase, SMOKE)


def motorboat(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a boat on a strip of water; throws spray behind."""
    canvas.box(0.0, 0.76, 1.0, 0.98, (38, 120, 190))
    canvas.shape([(0.06, 0.56), (0.98, 0.5), (0.8, 0.82), (0.16, 0.82)], colour)
    canvas.shape([(0.06, 0.56), (0.98, 0.5), (0.95, 0.58), (0.08, 0.64)], WHITE)
    canvas.shape([(0.4, 0.54), (0.48, 0.3), (0.7, 0.32), (0.74, 0.53)], GLASS)
    canvas.line([(0.48, 0.3), (0.7, 0.32)], DARK, 0.04)
    for x in (0.1, 0.4, 0.7):
        canvas.arc(x + 0.1 * phase, 0.92, 0.1, 180, 360, WHITE, 0.03)
    if phase:
        canvas.shape([(0.1, 0.8), (0.0, 0.3 + 0.14 * phase), (0.06, 0.62), (0.02, 0.84)], WHITE)
        canvas.disc(0.08, 0.34 + 0.1 * phase, 0.05, WHITE)


def motorcycle(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a motorcycle with a rider; two large wheels."""
    for x in (0.22, 0.78):
        canvas.disc(x, 0.74, 0.21, DARK)
        canvas.disc(x, 0.74, 0.13, (205, 205, 205))
        spoke = 0.12 if phase != 2 else 0.0
        canvas.line([(x - 0.12 + spoke, 0.62 + 0.12 - spoke), (x + 0.12 - spoke, 0.86 - 0.12 + spoke)], DARK, 0.03)
    canvas.line([(0.22, 0.74), (0.46, 0.56), (0.7, 0.52), (0.78, 0.74)], DARK, 0.05)
    canvas.shape([(0.24, 0.5), (0.46, 0.46), (0.68, 0.44), (0.6, 0.7), (0.4, 0.7)], colour)
    canvas.line([(0.7, 0.5), (0.66, 0.32), (0.74, 0.3)], DARK, 0.045)
    canvas.shape([(0.3, 0.5), (0.4, 0.2), (0.54, 0.22), (0.5, 0.5)], (60, 60, 90))
    canvas.line([(0.46, 0.28), (0.66, 0.36)], (60, 60, 90), 0.07)
    canvas.disc(0.5, 0.13, 0.11, colour)
    canvas.box(0.52, 0.08, 0.61, 0.15, DARK)
    if phase:
        canvas.disc(0.06, 0.86 - 0.06 * phase, 0.03 + 0.03 * phase, SMOKE)


def police_car(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a car with a light bar that flashes."""
    canvas.shape([(0.2, 0.5), (0.32, 0.28), (0.68, 0.28), (0.82, 0.5)], shade(colour, 0.9))
    canvas.shape([(0.27, 0.49), (0.35, 0.33), (0.49, 0.33), (0.49, 0.49)], GLASS)
    canvas.shape([(0.53, 0.49), (0.53, 0.33), (0.65, 0.33), (0.74, 0.49)], GLASS)
    canvas.box(0.03, 0.48, 0.97, 0.74, colour, round_by=0.06)
    canvas.box(0.03, 0.58, 0.97, 0.66, (30, 50, 150))
    canvas.box(0.4, 0.2, 0.5, 0.28, (255, 40, 40) if phase == 1 else (110, 30, 30))
    canvas.box(0.5, 0.2, 0.6, 0.28, (60, 110, 255) if phase == 2 else (30, 40, 110))
    canvas.disc(0.93, 0.54, 0.05, (255, 250, 150) if phase else (190, 190, 170))
    if phase:
        canvas.disc(0.45 if phase == 1 else 0.55, 0.12, 0.08, (255, 90, 90) if phase == 1 else (120, 160, 255))
    for x in (0.24, 0.76):
        _wheel(canvas, x, 0.76, 0.12, 0)


def helicopter(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a helicopter whose rotor turns."""
    canvas.shape([(0.5, 0.42), (0.96, 0.36), (0.96, 0.46), (0.5, 0.62)], colour)
    canvas.disc(0.36, 0.54, 0.28, colour, tall=0.22)
    canvas.disc(0.25, 0.5, 0.15, GLASS, tall=0.13)
    canvas.shape([(0.88, 0.22), (0.98, 0.22), (0.96, 0.46), (0.9, 0.46)], shade(colour, 0.7))
    canvas.line([(0.4, 0.34), (0.4, 0.22)], DARK, 0.05)
    half = {0: 0.26, 1: 0.4, 2: 0.1}[phase]
    canvas.line([(0.4 - half, 0.2), (0.4 + half, 0.2)], DARK, 0.05)
    canvas.line([(0.14, 0.86), (0.62, 0.86)], DARK, 0.04)
    canvas.line([(0.26, 0.74), (0.26, 0.86)], DARK, 0.03)
    canvas.line([(0.48, 0.74), (0.48, 0.86)], DARK, 0.03)
