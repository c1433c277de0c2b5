"""``avcap dali stills``: make the training images of the demo's image captioner."""

from __future__ import annotations

from pathlib import Path


def stills(
    *,
    out: Path = Path("data/demo/stills"),
    count: int = 24_000,
    val: int = 240,
    size: int = 64,
    seed: int = 0,
    num_workers: int = 2,
    overwrite: bool = False,
) -> None:
    """Write shards of single images of scenes with image captions, to train an image captioner.

    The scenes are drawn without sound, and none of them is a clip of a data set or told by a text. Shards that exist are
    kept, so an interrupted run continues where it stopped, and a second run does nothing.

    Args:
        out: Where the shards go: a folder for train and one for val.
        count: Images in the training split.
        val: Images in the validation split.
        size: Side of the square images in pixels.
        seed: Seed of the scenes.
        num_workers: Processes that draw.
        overwrite: Make finished splits again.
    """
    from avcap.scenes.stills import Stills, write_stills

    written = write_stills(
        out, Stills(count=count, val=val, size=size, seed=seed), num_workers=num_workers, overwrite=overwrite
    )
    for split in written:
        kept = ", made before and kept" if split.kept else ""
        print(f"{split.info.split}: {len(split.info.ids):,} images{kept}")
    print(f"Shards: {out}")
