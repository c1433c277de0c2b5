"""People and parts of them."""

from __future__ import annotations

from avcap.scenes.drawings.canvas import DARK, RGB, SKIN, WHITE, Canvas, shade

LIPS: RGB = (190, 40, 60)


def _face(canvas: Canvas, *, x: float, y: float, radius: float, phase: int) -> None:
    """Draw a round face with eyes and a mouth that opens."""
    canvas.disc(x, y, radius, SKIN[0], tall=radius * 1.15)
    for side in (-1, 1):
        canvas.disc(x + side * radius * 0.42, y - radius * 0.15, radius * 0.16, DARK)
    if phase:
        canvas.disc(x, y + radius * 0.55, radius * 0.3, (110, 20, 30), tall=radius * (0.12 + 0.16 * phase))
    else:
        canvas.line([(x - radius * 0.28, y + radius * 0.55), (x + radius * 0.28, y + radius * 0.55)], LIPS, 0.03)


def woman(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a woman with long dark hair and a dress."""
    canvas.disc(0.5, 0.38, 0.31, (70, 36, 26), tall=0.35)
    canvas.box(0.19, 0.38, 0.81, 0.72, (70, 36, 26), round_by=0.05)
    canvas.shape([(0.32, 0.68), (0.68, 0.68), (0.92, 1.0), (0.08, 1.0)], colour)
    canvas.box(0.44, 0.58, 0.56, 0.72, SKIN[0])
    _face(canvas, x=0.5, y=0.4, radius=0.21, phase=phase)
    canvas.box(0.28, 0.1, 0.72, 0.24, (70, 36, 26), round_by=0.06)


def man(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a man with a beard, a hat and a suit."""
    canvas.box(0.08, 0.7, 0.92, 1.0, colour, round_by=0.1)
    canvas.shape([(0.4, 0.7), (0.6, 0.7), (0.5, 0.92)], WHITE)
    canvas.box(0.42, 0.6, 0.58, 0.74, SKIN[1])
    canvas.disc(0.5, 0.5, 0.24, (90, 70, 56), tall=0.24)
    _face(canvas, x=0.5, y=0.42, radius=0.2, phase=phase)
    canvas.box(0.3, 0.5, 0.7, 0.54, (90, 70, 56))
    canvas.box(0.16, 0.22, 0.84, 0.29, shade(colour, 0.6))
    canvas.box(0.3, 0.06, 0.7, 0.26, shade(colour, 0.6), round_by=0.03)


def child(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a small child with pigtails who waves both arms."""
    lift = {0: 0.86, 1: 0.56, 2: 0.7}[phase]
    canvas.line([(0.38, 0.76), (0.1, lift)], SKIN[0], 0.07)
    canvas.line([(0.62, 0.76), (0.9, lift)], SKIN[0], 0.07)
    canvas.shape([(0.4, 0.66), (0.6, 0.66), (0.74, 0.94), (0.26, 0.94)], colour)
    for side in (-1, 1):
        canvas.disc(0.5 + side * 0.36, 0.3, 0.11, (246, 200, 70))
        canvas.disc(0.5 + side * 0.27, 0.26, 0.05, (230, 40, 90))
    canvas.disc(0.5, 0.34, 0.28, (246, 200, 70), tall=0.3)
    _face(canvas, x=0.5, y=0.42, radius=0.23, phase=phase)
    canvas.line([(0.42, 0.93), (0.42, 1.0)], SKIN[0], 0.06)
    canvas.line([(0.58, 0.93), (0.58, 1.0)], SKIN[0], 0.06)


def baby(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw a baby's bald head in a blanket, tears while it cries."""
    canvas.disc(0.5, 0.86, 0.48, colour, tall=0.2)
    canvas.disc(0.5, 0.46, 0.4, colour, tall=0.42)
    canvas.disc(0.5, 0.46, 0.3, (250, 214, 190), tall=0.32)
    canvas.arc(0.52, 0.18, 0.06, 60, 330, (120, 80, 50), 0.03)
    for side in (-1, 1):
        canvas.line([(0.5 + side * 0.07, 0.42), (0.5 + side * 0.2, 0.38 if phase else 0.42)], DARK, 0.045)
        if phase:
            canvas.disc(0.5 + side * 0.2, 0.46 + 0.06 * phase, 0.05, (70, 160, 250), tall=0.08)
    if phase:
        canvas.disc(0.5, 0.62, 0.13, (130, 20, 40), tall=0.05 + 0.04 * phase)
    else:
        canvas.disc(0.5, 0.62, 0.06, (240, 200, 60))


def hands(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw four raised hands over a dark row of heads; the hands clap."""
    for x in (0.16, 0.5, 0.84):
        canvas.disc(x, 0.94, 0.18, (60, 50, 70))
    apart = {0: 0.15, 1: 0.05, 2: 0.13}[phase]
    for x, y in ((0.28, 0.28), (0.72, 0.4)):
        for side in (-1, 1):
            at = x + side * apart
            canvas.line([(at + side * 0.05, y + 0.5), (at, y + 0.12)], colour, 0.1)
            canvas.disc(at, y + 0.05, 0.085, SKIN[0], tall=0.11)
            for finger in (-0.05, 0.0, 0.05):
                canvas.line([(at + finger, y), (at + finger, y - 0.14)], SKIN[0], 0.042)
    if phase == 1:
        for x, y in ((0.28, 0.28), (0.72, 0.4)):
            canvas.line([(x - 0.12, y - 0.2), (x - 0.17, y - 0.27)], (255, 230, 90), 0.03)
            canvas.line([(x + 0.12, y - 0.2), (x + 0.17, y - 0.27)], (255, 230, 90), 0.03)


def shoes(canvas: Canvas, colour: RGB, phase: int) -> None:
    """Draw two legs that walk."""
    left, right = {0: (0.0, 0.0), 1: (0.2, 0.0), 2: (0.0, 0.2)}[phase]
    for x, lift in ((0.2, left), (0.6, right)):
        canvas.box(x, 0.0, x + 0.18, 0.72 - lift, (44, 62, 120))
        canvas.box(x - 0.02, 0.68 - lift, x + 0.22, 0.86 - lift, colour)
        canvas.box(x - 0.02, 0.76 - lift, x + 0.36, 0.9 - lift, colour, round_by=0.06)
        canvas.box(x - 0.02, 0.89 - lift, x + 0.36, 0.95 - lift, DARK)
