"""`avcap maps`: a trained captioner's assignment maps measured against true times, at several regularisations."""

from __future__ import annotations

from pathlib import Path

from avcap.study.report.table import align

COLUMNS = {
    "map_mass": "mass on true pairs",
    "map_uniform": "uniform",
    "map_gain": "gain",
    "map_skill": "skill",
    "map_gain_shuffled": "gain, shuffled",
    "map_gain_timed": "gain, time alone",
}


def maps(
    *,
    ckpt_path: Path = Path("runs/demo/checkpoints/best.ckpt"),
    epsilons: list[float] = [0.02, 0.05, 0.1, 0.2, 0.5],  # noqa: B006 (a schema default; never changed)
    shards: Path | None = None,
    config: list[Path] = [],  # noqa: B006 (a schema default; never changed)
    weights: list[Path] = [],  # noqa: B006
    weights_root: Path | None = None,
    events: Path | None = None,
    split: str = "test",
    batch_size: int = 60,
    num_workers: int = 1,
    limit: int | None = None,
) -> None:
    """Print how much of the assignment maps' mass falls on pairs of tokens of the same event.

    The plan is solved again at each epsilon with the tokens of the trained model. A gain of 1 is that of a uniform map; the
    shuffled one has the frames of another clip, that of time alone knows when tokens are and nothing else.
    docs/lavcap.md defines the columns.

    Args:
        ckpt_path: Checkpoint of a trained captioner whose fusion makes maps.
        epsilons: Regularisations of the transport plan; of maps that are no plans the one row has none.
        shards: Folder of the shards; null: the one that the config names.
        config: The config of the run, further ones laid over it; left out: config.yaml in its folder, two above the checkpoint.
        weights: In place of a checkpoint, the files that hold the weights of the captioner in `--config`.
        weights_root: Folder in which files that the checkpoint or the config names are looked for first.
        events: An events.jsonl with the true times; null: the one beside the shards.
        split: The split to measure on.
        batch_size: Clips at a time.
        num_workers: Processes that read clips.
        limit: Take the first clips only.

    Raises:
        FileNotFoundError: if the checkpoint, its config, the shards or the true times are not there.
        ValueError: if the fusion makes no maps, or no clip has something to tell apart.
    """
    from avcap.trained.clips import CheckpointClips
    from avcap.trained.map_quality import map_quality

    source = CheckpointClips.open(
        ckpt_path, shards=shards, config=config, weights=weights, weights_root=weights_root, split=split
    )
    found = map_quality(
        source, epsilons=epsilons, events=events, batch_size=batch_size, num_workers=num_workers, limit=limit
    )
    body = [["-" if e is None else f"{e:g}", *(f"{row[name]:.3f}" for name in COLUMNS)] for e, row in found.items()]
    print("\n".join(align(["epsilon", *COLUMNS.values()], body)))
    print(
        f"\n{next(iter(found.values()))['map_clips']:.0f} clips of {source.shards.folder} whose pairs can be told apart"
    )
