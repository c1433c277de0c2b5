"""``avcap data demo``: make the embedded data set."""

from __future__ import annotations

from pathlib import Path


def demo(
    root: Path = Path("data/demo"),
    *,
    train: int = 2400,
    val: int = 120,
    test: int = 240,
    seconds: float = 5.0,
    size: int = 64,
    fps: int = 8,
    seed: int = 0,
    num_workers: int = 2,
    overwrite: bool = False,
) -> None:
    """Make the embedded data set: procedural scenes as mp4 files in the AudioCaps layout.

    Clips that exist are kept, so an interrupted run continues where it stopped, and a second run does nothing.

    Args:
        root: Folder of the data set.
        train: Clips in the training split (one caption each).
        val: Clips in the validation split (five captions each).
        test: Clips in the test split (five captions each).
        seconds: Length of each clip.
        size: Side of the square frames in pixels, even.
        fps: Frames a second.
        seed: Seed of everything; the same seed gives the same scenes and captions.
        num_workers: Processes that render; 0 renders in the main one.
        overwrite: Delete a demo data set of other arguments in the same folder first.
    """
    from avcap.scenes.dataset import Settings, build_dataset

    settings = Settings(train=train, val=val, test=test, seconds=seconds, size=size, fps=fps, seed=seed)
    build_dataset(Path(root), settings, num_workers=num_workers, overwrite=overwrite)
