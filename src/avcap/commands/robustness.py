"""`avcap robustness`: what a captioner loses if its audio or its video is corrupted."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from avcap.commands.robustness_conditions import CLEAN, choose, describe, kind_of
from avcap.data.corruptions import Corruption
from avcap.ids import id_hash
from avcap.jsonl import read_json_lines
from avcap.mappings import read_json
from avcap.metrics.evaluate import evaluate
from avcap.metrics.predictions import write_predictions
from avcap.metrics.results import write_results
from avcap.study.report.robustness import biases, draw_robustness, drops, robustness_table

if TYPE_CHECKING:
    from avcap.trained.clips import CheckpointClips


class Test(NamedTuple):
    """The settings that all conditions of a run share."""

    source: CheckpointClips
    batch_size: int
    num_workers: int
    seed: int
    limit: int | None
    generation: dict[str, Any]
    metrics: list[str]

    def rows(self, corruptions: Sequence[Corruption]) -> list[dict[str, Any]]:
        """Return id, caption, references and scores of every clip under one condition."""
        clips = self.source.clips(corruptions, seed=self.seed, limit=self.limit)
        captions: dict[str, str] = {}
        references: dict[str, list[str]] = {}
        for batch in self.source.batches(clips, batch_size=self.batch_size, num_workers=self.num_workers):
            with torch.inference_mode():
                said = self.source.model(batch, **self.generation)
            captions.update(zip(batch["id"], said, strict=True))
            references.update(zip(batch["id"], batch["references"], strict=True))
        scores = evaluate(captions, references, metrics=self.metrics).clips
        return [{"id": i, "caption": captions[i], "references": references[i], "scores": scores[i]} for i in captions]


def robustness(
    *,
    ckpt_path: Path = Path("runs/demo/checkpoints/best.ckpt"),
    shards: Path | None = None,
    config: list[Path] = [],  # noqa: B006 (a schema default; never changed)
    weights: list[Path] = [],  # noqa: B006
    weights_root: Path | None = None,
    split: str = "test",
    only: list[str] | None = None,
    conditions: list[Corruption] | None = None,
    metrics: list[str] = ["cider_d"],  # noqa: B006 (a schema default; never changed)
    num_beams: int | None = None,
    batch_size: int = 60,
    num_workers: int = 1,
    seed: int = 0,
    limit: int | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Caption a split with one stream silenced, swapped, noisy, blurred, dropped or shifted, and print what that costs.

    The model is loaded once. Each condition leaves its captions in the folder, so that a stopped run resumes;
    `robustness.json` has all numbers, `robustness.png` shows them. docs/robustness.md defines conditions and index.

    Args:
        ckpt_path: Checkpoint of a trained captioner.
        shards: Folder of the shards; null: the one that the config names.
        config: The config of the run, further ones laid over it; left out: config.yaml in its folder, two above the checkpoint.
        weights: In place of a checkpoint, the files that hold the weights of the captioner in `--config`; name `--out` too.
        weights_root: Folder in which files that the checkpoint or the config names are looked for first.
        split: The split to caption.
        only: Conditions to test, by name, family or stream (`[swap,audio_noise_0dB]`); null: all. Those that an earlier run
            with the same settings tested stay in the results.
        conditions: Corruptions of your own in place of the built-in conditions.
        metrics: Metrics with a score for each clip; table, intervals and index are of the first.
        num_beams: Beams of the search; null: as the model was configured.
        batch_size: Clips at a time.
        num_workers: Processes that read and corrupt clips.
        seed: Seed of all random choices.
        limit: Test only the first clips, for a trial; the results then go to a separate folder.
        out: Folder to write to; null: `robustness` in the folder of the run.
        overwrite: Do again what is already there.

    Raises:
        FileNotFoundError: if the checkpoint, its config or the shards are not there.
        ValueError: if nothing is left to test, or a metric has no score for each clip.
    """
    if weights and out is None:
        raise ValueError("Released weights have no folder of a run; say by --out where the results go.")
    from avcap.trained.clips import CheckpointClips, run_folder

    test = Test(
        CheckpointClips.open(
            ckpt_path, shards=shards, config=config, weights=weights, weights_root=weights_root, split=split
        ),
        batch_size,
        num_workers,
        seed,
        limit,
        {} if num_beams is None else {"num_beams": num_beams},
        list(metrics),
    )
    folder = out or run_folder(ckpt_path) / ("robustness" if limit is None else f"robustness_first_{limit}")
    chosen, left_out = choose(conditions, only, test.source.model)
    for names, reason in left_out.items():
        print(f"Left out {names}: {reason}.", file=sys.stderr)
    if not chosen:
        raise ValueError("No condition is left to test; `avcap list corruption` shows what there is.")
    record = open_record(
        folder / "robustness.json", _settings(test, weights or [ckpt_path], split), overwrite=overwrite
    )
    for name, corruptions in {CLEAN: (), **chosen}.items():
        if not _is_done(name, corruptions, record, folder):
            _run(test, name, corruptions, record, folder)
    _finish(record, folder, metric=metrics[0])


def open_record(path: Path, settings: dict[str, Any], *, overwrite: bool = False) -> dict[str, Any]:
    """Return the record of an earlier run with the same settings, or start a new record that replaces any other."""
    if path.is_file() and not overwrite:
        try:
            earlier = read_json(path)
        except ValueError:
            earlier = {}
        if earlier.get("settings") == json.loads(json.dumps(settings)):
            return earlier
        print(f"{path} is of another checkpoint or other settings; starting again.", file=sys.stderr)
    return {"settings": settings, "conditions": {}}


def _settings(test: Test, files: Sequence[Path], split: str) -> dict[str, Any]:
    """Return the settings that captions and scores depend on."""
    from avcap.weights.reading import sha256

    fingerprint = " ".join(sha256(file) for file in files)
    ids = test.source.clips(limit=test.limit).ids
    return {
        "checkpoint": fingerprint,
        "split": split,
        "clips": len(ids),
        "id_hash": id_hash(ids),
        "shards": test.source.shards.info.plan,
        "seed": test.seed,
        "metrics": test.metrics,
        "generation": {**test.source.model.decoder.generation, **test.generation},
    }


def _is_done(name: str, corruptions: Sequence[Corruption], record: dict[str, Any], folder: Path) -> bool:
    earlier = record["conditions"].get(name, {})
    return earlier.get("corruptions") == describe(corruptions) and (folder / earlier["predictions"]).is_file()


def _run(test: Test, name: str, corruptions: Sequence[Corruption], record: dict[str, Any], folder: Path) -> None:
    """Caption and score the split under one condition; captions first, so that what the record names is there."""
    start = time.monotonic()
    rows = test.rows(corruptions)
    metric = test.metrics[0]
    if metric not in rows[0]["scores"]:
        raise ValueError(
            f"{metric} cannot be computed here or has no score for each clip; name another with --metrics."
        )
    write_predictions(folder / f"{name}.jsonl", rows)
    means = {m: fmean(row["scores"][m] for row in rows) for m in rows[0]["scores"]}
    stream, family = kind_of(corruptions)
    record["conditions"][name] = {
        "stream": stream,
        "family": family,
        "corruptions": describe(corruptions),
        "predictions": f"{name}.jsonl",
        "scores": means,
    }
    write_results(folder / "robustness.json", record)
    print(f"{name}: {metric} {100 * means[metric]:.1f} ({time.monotonic() - start:.0f} s)", file=sys.stderr)


def _finish(record: dict[str, Any], folder: Path, *, metric: str) -> None:
    """Write drops, index, table and figure of all conditions in the record."""
    conditions = record["conditions"]
    scores = {
        name: {row["id"]: row["scores"][metric] for _, row in read_json_lines(folder / condition["predictions"])}
        for name, condition in conditions.items()
    }
    clean = scores.pop(CLEAN)
    found = drops(clean, scores, {name: (conditions[name]["stream"], conditions[name]["family"]) for name in scores})
    for drop in found:
        conditions[drop.name]["drop"] = {k: getattr(drop, k) for k in ("absolute", "relative", "low", "high")}
    record["bias"] = {bias.family: bias._asdict() for bias in biases(found)}
    write_results(folder / "robustness.json", record)
    mean = fmean(clean.values())
    draw_robustness(folder / "robustness.png", mean, found, metric=metric)
    settings = record["settings"]
    print(robustness_table(mean, found, metric=metric))
    print(
        f"\n{settings['clips']} clips ({settings['id_hash']}) of {settings['split']}; wrote {folder / 'robustness.json'}"
    )
