"""`avcap data derive`: compute what stays the same in every epoch once, and store it beside the shards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from avcap.config_files import whole_config
from avcap.data.frame_sampling import FrameChoice
from avcap.frontends import FrontEnd
from avcap.frontends.inputs import AUDIO
from avcap.shards.derived import write_column
from avcap.shards.reader import SPLITS, Shards

if TYPE_CHECKING:
    from avcap.data.token_columns import TokenJob
    from avcap.encoders import Encoder
    from avcap.types import Batch, Tokens


def derive(
    shards: Path,
    *,
    config: list[Path] | Path | None = None,
    frontend: FrontEnd | None = None,
    splits: list[str] = list(SPLITS),  # noqa: B006 (a schema default; never changed)
    num_workers: int = 2,
    encoders: bool = False,
    frames: FrameChoice | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    batch_size: int = 16,
    device: str | None = None,
) -> None:
    """Compute the input of an audio encoder, or the tokens of frozen encoders, once for all clips, so that training need not.

    Training reads them where they are there. Spectrograms of several front ends can stand side by side; length and normalisation
    are applied later, so that encoders which differ in these share one. Tokens (`--encoders true --splits "[train]"`) replace a
    frozen encoder in training, where nothing random stands before it. Started by torchrun or srun, the processes share the tokens.

    Args:
        shards: Folder of the shards.
        config: A config, or several (`[configs/lavcap.yaml,configs/avcap.yaml]`), whose audio encoders' front ends are run.
        frontend: A front end and its settings (`KaldiFbank --frontend.mels 64`).
        splits: Splits to do; one that is not there is left out.
        num_workers: Processes.
        encoders: Run the frozen encoders of the configs in place of their front ends.
        frames: Frames that a visual encoder gets; null: those of the config's data.
        dtype: In which tokens are stored; with bfloat16 the encoder computes in it, too.
        batch_size: Clips that are encoded at once.
        device: Where encoders run (`cuda:1`); null: a GPU if there is one.

    Raises:
        FileNotFoundError: if there are no shards, no such config, or no weights where an encoder's `pretrained` says.
        ValueError: if neither a config nor a front end is named, a config has no audio encoder or none that is frozen, or the
            shards have another sample rate.
    """
    configs = [config] if isinstance(config, Path) else config or []
    there = [split for split in splits if (shards / split).is_dir()]
    if not there:
        raise FileNotFoundError(f"There are no shards in {shards}; make them with `avcap data prepare`.")
    if encoders:
        if not configs:
            raise ValueError("Name the config whose encoders are run: --config CONFIG.")
        from avcap.data.token_columns import TokenJob

        job = TokenJob(
            dtype,
            batch_size,
            num_workers,
            rank=_environment("RANK", "SLURM_PROCID", 0),
            world_size=_environment("WORLD_SIZE", "SLURM_NTASKS", 1),
        )
        for path in configs:
            for encoder in frozen_encoders(path):
                for split in there:
                    derive_tokens(Shards(shards / split), encoder, frames or frames_of(path), job, _device(device))
        return
    frontends = [frontend_of(path) for path in configs] + ([] if frontend is None else [frontend])
    if not frontends:
        raise ValueError("Name a front end: --config CONFIG, or --frontend KaldiFbank (`avcap list frontend`).")
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
    from avcap.encoders import AudioEncoder

    with torch.device("meta"):
        encoder = _build(config, "audio_encoder")
    if not isinstance(encoder, AudioEncoder):
        raise ValueError(f"{config} has no model.init_args.audio_encoder whose front end could be run.")
    return encoder.frontend


def frozen_encoders(config: Path) -> list[Encoder]:
    """Build the frozen encoders of a config, with their weights.

    Raises:
        FileNotFoundError: if there is no such config, or no weights where an encoder's ``pretrained`` says.
        ValueError: if none of its encoders is frozen and pretrained.
    """
    from avcap.models.frozen import is_frozen

    built = [encoder for name in ("audio_encoder", "visual_encoder") if (encoder := _build(config, name)) is not None]
    frozen = [encoder for encoder in built if is_frozen(encoder) and encoder.pretrained is not None]
    if not frozen:
        names = " and ".join(type(encoder).__name__ for encoder in built) or "none"
        raise ValueError(
            f"{config} has no encoder that is frozen and pretrained ({names}); only tokens that stay the same can be stored."
        )
    for encoder in frozen:
        encoder.load_pretrained()
        encoder.eval()
    return frozen


def frames_of(config: Path) -> FrameChoice:
    """Return the choice of frames of a config's data."""
    return FrameChoice(**((whole_config(config).get("data") or {}).get("init_args") or {}).get("frames") or {})


def derive_tokens(shards: Shards, encoder: Encoder, frames: FrameChoice, job: TokenJob, device: torch.device) -> None:
    """Write the tokens of an encoder for a split, and say so."""
    from avcap.data.dataset import ClipDataset
    from avcap.data.token_columns import write_tokens
    from avcap.models.frozen import token_name
    from avcap.models.parts import encode, inputs_of

    inputs = inputs_of([encoder])
    if not shards.info.streams[encoder.input]:
        print(f"{shards.info.split}: no clip has {encoder.input}, which {type(encoder).__name__} reads")
        return
    dataset = ClipDataset(shards, inputs, frames=frames)
    if (
        encoder.input != AUDIO
        and frames.sampling == "random"
        and (frames.count or shards.info.frames) < shards.info.frames
    ):
        print(
            f"{shards.info.split}: training draws other frames in each epoch (frames.sampling: random), so that no tokens of "
            f"{type(encoder).__name__} can be kept; choose --frames.sampling even or centre"
        )
        return
    name = token_name(encoder)
    encoder.to(device)

    @torch.inference_mode()
    def tokens_of(batch: Batch) -> Tokens | None:
        entries: Any = {key: x.to(device) if isinstance(x, torch.Tensor) else x for key, x in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=job.dtype == "bfloat16"):
            return encode(encoder, entries)

    written = write_tokens(dataset, encoder.input, name, tokens_of, job)
    print(f"{shards.info.split}: {name} {'written' if written else 'was there, or other processes have work left'}")


def _build(config: Path, name: str) -> Encoder | None:
    """Build an encoder of a config; None where it has none."""
    from jsonargparse import ArgumentParser

    from avcap.encoders import AudioEncoder, VisualEncoder

    settings = ((whole_config(config).get("model") or {}).get("init_args") or {}).get(name)
    if settings is None:
        return None
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(AudioEncoder if name == "audio_encoder" else VisualEncoder, name)
    return parser.instantiate_classes(parser.parse_object({name: settings}))[name]


def _environment(name: str, slurm: str, otherwise: int) -> int:
    """Return a number that torchrun, or srun, gives its processes."""
    return int(os.environ.get(name, os.environ.get(slurm, otherwise)))


def _device(wanted: str | None) -> torch.device:
    if wanted is None and torch.cuda.is_available():
        wanted = f"cuda:{_environment('LOCAL_RANK', 'SLURM_LOCALID', 0) % torch.cuda.device_count()}"
    return torch.device(wanted or "cpu")
