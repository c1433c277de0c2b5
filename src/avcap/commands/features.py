"""`avcap data features`: visual features made once, by a frozen encoder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

import avcap.encoders  # noqa: F401 (registers what --encoder can name)
from avcap.atomic import replacing
from avcap.captions import find_caption_file, read_captions
from avcap.encoders.base import VisualEncoder
from avcap.ids import file_name
from avcap.media import MediaError
from avcap.shards.manifest import Clip, MediaIndex, find_clips, settled
from avcap.shards.reader import SPLITS
from avcap.shards.reading import read_item

log = logging.getLogger(__name__)


class _Frames(Dataset):
    """The frames of clips; for a clip that cannot be read, the reason."""

    def __init__(self, clips: list[Clip], frames: int, size: int) -> None:
        self.clips, self.frames, self.size = clips, frames, size

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor | str]:
        clip = self.clips[index]
        try:
            item = read_item(replace(settled(clip), features=None), frames=self.frames, size=self.size)
            return clip.id, f"{clip.frames[0]} has no video track." if item.frames is None else item.frames
        except (MediaError, FileNotFoundError) as error:
            return clip.id, str(error)


def features(
    root: Path,
    out: Path | None = None,
    *,
    encoder: VisualEncoder,
    media: Path | None = None,
    splits: list[str] = list(SPLITS),  # noqa: B006 (a schema default; never changed)
    frames: int = 20,
    size: int = 224,
    num_workers: int = 2,
) -> None:
    """Run a frozen visual encoder over all clips once; `avcap data prepare --features` puts the result into shards.

    LAVCap's features: --encoder CLIPVisual --encoder.pretrained openai/clip-vit-large-patch14 (20 x 768 a clip).
    Each clip is written at once, and clips whose file exists are skipped, so that a stopped run can resume.

    Args:
        root: Folder with `<split>.csv` or `<split>.json`, and the media unless `media` is given.
        out: Where one `<id>.npy` [frames, channels] float16 a clip goes; null: `<root>/visual_feature`.
        encoder: The encoder and its settings.
        media: Folder of the media files.
        splits: Splits to do; one that is not there is left out.
        frames: Frames of each clip.
        size: Their height and width in pixels.
        num_workers: Processes that decode.

    Raises:
        FileNotFoundError: if there is no caption file, or the encoder's weights are not there.
        SystemExit: with status 1, if a clip could not be decoded; the others are written all the same.
    """
    out = out or root / "visual_feature"
    out.mkdir(parents=True, exist_ok=True)
    clips = [clip for clip in _clips(root, media, splits) if not (out / f"{file_name(clip.id)}.npy").is_file()]
    encoder.load_pretrained()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder.to(device).eval()
    loader = DataLoader(_Frames(clips, frames, size), batch_size=None, num_workers=num_workers)
    broken: dict[str, str] = {}
    for clip, pictures in tqdm(loader, total=len(clips), unit="clip", desc="features"):
        if isinstance(pictures, str):
            broken[clip] = pictures
            continue
        with torch.inference_mode(), replacing(out / f"{file_name(clip)}.npy") as fresh, fresh.open("wb") as file:
            np.save(file, encoder(pictures[None].to(device)).x[0].half().cpu().numpy())  # [N, C]
    print(f"{len(clips) - len(broken)} clips written to {out}; now: avcap data prepare {root} --features {out}")
    if broken:
        for clip, reason in broken.items():
            log.error("%s: %s", clip, reason)
        raise SystemExit(1)


def _clips(root: Path, media: Path | None, splits: list[str]) -> list[Clip]:
    index = MediaIndex([media or root])
    files = [file for split in splits if (file := find_caption_file(root, split)) is not None]
    if not files:
        raise FileNotFoundError(f"There is no {', '.join(f'{s}.csv' for s in SPLITS)} in {root}; see docs/data.md.")
    found = {clip.id: clip for file in files for clip in find_clips(read_captions(file), index)[0]}
    return [clip for clip in found.values() if clip.frames]
