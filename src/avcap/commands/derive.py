"""`avcap data derive`: compute the spectrograms of a front end once, and store them beside the shards."""

from __future__ import annotations

from pathlib import Path

import torch

from avcap.config_files import whole_config
from avcap.data.derived import write_column
from avcap.data.shards import SPLITS, Shards
from avcap.encoders import AudioEncoder
from avcap.frontends import FrontEnd


def derive(
    shards: Path,
    *,
    config: list[Path] | Path | None = None,
    frontend: FrontEnd | None = None,
    splits: list[str] = list(SPLITS),  # noqa: B006 (a schema default; never changed)
    num_workers: int = 2,
) -> None:
    """Compute the input of an audio encoder once for all clips, so that training need not.

    Training reads it where it is there, and computes it in the loader's workers where it is not. Several front ends can
    stand side by side; length and normalisation are applied later, so that encoders which differ in these share one.

    Args:
        shards: Folder of the shards.
        config: A config, or several (`[configs/lavcap.yaml,configs/avcap.yaml]`), whose audio encoders' front ends are run.
        frontend: A front end and its settings (`KaldiFbank --frontend.mels 64`).
        splits: Splits to do; one that is not there is left out.
        num_workers: Processes.

    Raises:
        FileNotFoundError: if there are no shards, or no such config.
        ValueError: if neither a config nor a front end is named, a config has no audio encoder, or the shards have another sample
            rate.
    """
    configs = [config] if isinstance(config, Path) else config or []
    frontends = [frontend_of(path) for path in configs] + ([] if frontend is None else [frontend])
    if not frontends:
        raise ValueError("Name a front end: --config CONFIG, or --frontend KaldiFbank (`avcap list frontend`).")
    there = [split for split in splits if (shards / split).is_dir()]
    if not there:
        raise FileNotFoundError(f"There are no shards in {shards}; make them with `avcap data prepare`.")
    for made in {one.fingerprint: one for one in frontends}.values():
        for split in there:
            written = write_column(Shards(shards / split), made, num_workers=num_workers)
            print(f"{split}: {made.fingerprint} {'written' if written else 'was there, or no clip has sound'}")


def frontend_of(config: Path) -> FrontEnd:
    """Build the front end of a config's audio encoder, without building weights.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it has no audio encoder.
    """
    from jsonargparse import ArgumentParser

    encoder = ((whole_config(config).get("model") or {}).get("init_args") or {}).get("audio_encoder")
    if encoder is None:
        raise ValueError(f"{config} has no model.init_args.audio_encoder whose front end could be run.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(AudioEncoder, "audio_encoder")
    with torch.device("meta"):
        return parser.instantiate_classes(parser.parse_object({"audio_encoder": encoder})).audio_encoder.frontend
