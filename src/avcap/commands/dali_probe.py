"""``avcap dali probe``: measure how much the tokens of an alignment predict of the images and of the sounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from avcap.trained.alignment import AlignmentClips

SPLITS = ("train", "val", "test")  # the probes are fitted, chosen, measured


class Means(NamedTuple):
    """The mean tokens of the clips of a split that have both streams."""

    ids: list[str]
    audio: Tensor  # [n, C]
    image: Tensor  # [n, C]


def probe(
    ckpt: Path,
    *,
    encoder: Path | None = None,
    events: Path | None = None,
    shards: Path | None = None,
    batch_size: int = 50,
) -> dict[str, float]:
    """Measure what the audio tokens of an alignment tell of the images, and whether they still hold what is heard.

    Of each clip the mean audio token and the mean image token are compared, on the test split. How much of the images a sound
    tells at all is what a linear map, fitted to the training split, makes of the audio tokens: no alignment by squared distances
    can come closer than the mean image of a sound.

    Args:
        ckpt: Checkpoint of an alignment.
        encoder: Weights of its audio encoder, to measure instead of those of the checkpoint: as ``avcap dali calibrate`` writes them.
        events: An ``events.jsonl`` with the sounds of each clip, for probes of the kinds of sounds; None: the one beside the
            shards, where there is one.
        shards: Folder of the shards; None: the one that the run was trained on.
        batch_size: Clips at once.

    Returns:
        ``variance_audio`` and ``variance_image`` of the clips' mean tokens, summed over channels; the share of the images'
        variance that is ``explained`` by the audio tokens as they are, and ``explainable`` by a linear map of them; where events are known
        ``kinds_audio``, ``kinds_image`` and ``kinds_chance``: the mean average precision over kinds of linear probes, and of none.

    Raises:
        FileNotFoundError: if the checkpoint, its config, the shards or a file that was named are not there.
        ValueError: if ``batch_size`` is below 1, the encoder is another, or the events lack a clip.
    """
    from avcap.checkpoints.loading import load_part
    from avcap.scenes.events import beside_the_shards, read_scenes
    from avcap.scenes.naming import kinds_heard
    from avcap.trained.alignment import AlignmentClips

    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    opened = AlignmentClips.open(ckpt, shards=shards)
    if encoder is not None:
        hears = opened.model.audio_encoder
        load_part(hears, str(encoder), part="audio", component=type(hears).__name__)
    scenes = read_scenes(events or beside_the_shards(opened.clips.shards.folder.parent))
    heard = {name: kinds_heard(scene.events) for name, scene in scenes.items()}
    train, val, test = (mean_tokens(opened.of(split), batch_size) for split in SPLITS)
    found = _of_images(train, val, test) | (_of_kinds(heard, train, val, test) if heard else {})
    print(f"{len(test.ids)} clips of test; probes fitted to {len(train.ids)} of train, chosen by {len(val.ids)} of val")
    print(
        f"variance of the clips' mean tokens: audio {found['variance_audio']:.4g}, images {found['variance_image']:.4g}"
    )
    print(
        f"of the images' variance, mean audio tokens explain {found['explained']:.3f} as they are, "
        f"{found['explainable']:.3f} by the best linear map"
    )
    if heard:
        print(
            f"kinds heard, mean average precision of a linear probe: of audio tokens {found['kinds_audio']:.3f}, "
            f"of image tokens {found['kinds_image']:.3f}, by chance {found['kinds_chance']:.3f}"
        )
    return found


def mean_tokens(opened: AlignmentClips, batch_size: int = 50) -> Means:
    """Compute the mean token of each clip of a split in float64; leave out clips that lack a stream."""
    from avcap.layers.masking import mean_token
    from avcap.trained.alignment import paired_tokens

    ids: list[str] = []
    audio: list[Tensor] = []
    image: list[Tensor] = []
    for batch in opened.batches(batch_size):
        names, *pair = paired_tokens(opened.model, batch)
        ids += names
        for means, tokens in zip((audio, image), pair, strict=True):
            means.append(mean_token(tokens._replace(x=tokens.x.double())))
    return Means(ids, torch.cat(audio), torch.cat(image))


def _of_images(train: Means, val: Means, test: Means) -> dict[str, float]:
    from avcap.metrics.linear_probe import LinearProbe, Pairs, explained

    told = LinearProbe(Pairs(train.audio, train.image), Pairs(val.audio, val.image))
    return {
        "variance_audio": float(test.audio.var(dim=0).sum()),
        "variance_image": float(test.image.var(dim=0).sum()),
        "explained": explained(test.audio, test.image, told.centre),
        "explainable": explained(told(test.audio), test.image, told.centre),
    }


def _of_kinds(heard: dict[str, set[str]], train: Means, val: Means, test: Means) -> dict[str, float]:
    from torchmetrics.functional.classification import multilabel_average_precision

    from avcap.metrics.linear_probe import LinearProbe, Pairs

    if missing := [name for split in (train, val, test) for name in split.ids if name not in heard]:
        raise ValueError(f"The events lack clip {missing[0]}; give those of the same data set.")
    kinds = sorted(set().union(*(heard[name] for name in test.ids)))  # one that is never heard has no precision

    y_train, y_val, y_test = (
        torch.tensor([[kind in heard[name] for kind in kinds] for name in split.ids]) for split in (train, val, test)
    )  # [n, K] each
    found = {}
    for stream in ("audio", "image"):
        x_train, x_val, x_test = (getattr(split, stream) for split in (train, val, test))
        scores = LinearProbe(Pairs(x_train, y_train), Pairs(x_val, y_val))(x_test).clamp(0, 1)
        found[f"kinds_{stream}"] = float(multilabel_average_precision(scores, y_test.long(), len(kinds)))
    return {**found, "kinds_chance": float(y_test.double().mean())}
