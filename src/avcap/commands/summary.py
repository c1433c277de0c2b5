"""`avcap summary`: print the scores of a run, its files, and the next commands."""

from __future__ import annotations

from pathlib import Path

from avcap.metrics.predictions import read_rows
from avcap.metrics.results import read_results
from avcap.study.report import results_table, rows_of

NEXT = """What to try next:
  avcap caption your_clip.mp4 --ckpt_path {run}/checkpoints/best.ckpt --map map.png
  avcap fit --config configs/demo/lavcap.yaml --model.init_args.fusion TimeConcat --trainer.default_root_dir runs/time_concat
  tensorboard --logdir {parent}
  avcap check --config configs/lavcap.yaml          the system at paper size; docs/data.md says how to bring AudioCaps"""


def summary(run: Path, *, examples: int = 5) -> None:
    """Print the results table of a run, some captions beside their references, and where its files are.

    Args:
        run: The folder of the run (``trainer.default_root_dir``), after ``avcap test``.
        examples: How many captions to print.
    """
    results = read_results(run / "results.json")
    print(results_table(rows_of(results)))
    for reason in dict.fromkeys(results["left_out"].values()):
        names = [name for name, why in results["left_out"].items() if why == reason]
        print(f"Left out {', '.join(names)}: {reason}.")
    scores = results["scores"]
    print(f"\n{scores['unique_ratio']:.0%} of the captions are unique, {scores['vocab']:.0f} words are used.\n")
    rows = read_rows(run / "predictions.jsonl")
    step = max(1, len(rows) // max(1, examples))
    for row in rows[::step][:examples]:
        print(f"  {row['id']}  {row['caption']}\n{'':>15}reference: {(row.get('references') or ['-'])[0]}")
    maps = sorted((run / "maps").glob("*.png"))
    print("\nWhat to look at:")
    for path in [*maps, run / "predictions.jsonl", run / "results.json"]:
        print(f"  {path}")
    print("\n" + NEXT.format(run=run, parent=run.parent))
