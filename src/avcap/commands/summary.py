"""`avcap summary`: print the scores of a run, its files, and the next commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcap.metrics.predictions import read_rows
from avcap.metrics.results import read_results
from avcap.study.protocol import protocol_of
from avcap.study.report import results_table, rows_of

NEXT = """What to try next:
  avcap caption your_clip.mp4 --ckpt_path {run}/checkpoints/best.ckpt --map map.png
  avcap fit --config configs/demo/lavcap.yaml --model.init_args.fusion TimeConcat --trainer.default_root_dir runs/time_concat
  tensorboard --logdir {parent}
  avcap check --config configs/lavcap.yaml          the system at paper size; docs/data.md says how to bring AudioCaps"""


def summary(run: Path, *, examples: int = 5) -> None:
    """Print the results table of a run, some captions beside their references, and where its files are.

    Args:
        run: The folder of the run (``trainer.default_root_dir``), after ``avcap test`` or ``avcap predict``.
        examples: How many captions of each file to print.
    """
    results, tested = run / "results.json", run / "predictions.jsonl"
    files = [path for path in (tested, *sorted(run.glob("captions_*.jsonl"))) if path.exists()]
    if results.exists() or not files:
        _print_scores(read_results(results))
    for path in files:
        print(f"\n{path}:" if len(files) > 1 else "")
        rows = read_rows(path)
        step = max(1, len(rows) // max(1, examples))
        for row in rows[::step][:examples]:
            print(f"  {row['id']}  {row['caption']}")
            if row.get("references"):
                print(f"{'':>15}reference: {row['references'][0]}")
    print("\nWhat to look at:")
    for path in [*sorted((run / "maps").glob("*.png")), *files, results]:
        if path.is_file():
            print(f"  {path}")
    print("\n" + NEXT.format(run=run, parent=run.parent))


def _print_scores(results: dict[str, Any]) -> None:
    print(results_table(rows_of(results)))
    protocol = protocol_of(results)
    if protocol.split is not None:
        print(f"\nTested on {protocol.clips} clips of {protocol.split}; the checkpoint: {protocol.selected}.")
    left_out = results.get("left_out", {})
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        print(f"Left out {', '.join(names)}: {reason}.")
    if speed := results.get("training"):
        print(f"\n{_told(speed)}")
    scores = results["scores"]
    if {"unique_ratio", "vocab"} <= scores.keys():
        print(f"\n{scores['unique_ratio']:.0%} of the captions are unique, {scores['vocab']:.0f} words are used.")


def _told(speed: dict[str, float]) -> str:
    """Tell the speed of a training in one sentence."""
    facts = [f"{speed['clips_per_second']:.1f} clips/s"]
    if "tokens_per_second" in speed:
        facts.append(f"{speed['tokens_per_second']:,.0f} tokens/s ({speed['padding']:.0%} padding)")
    if "tflops_per_second" in speed:
        use = f" ({speed['mfu']:.0%} of what the device can do)" if "mfu" in speed else ""
        facts.append(f"{speed['tflops_per_second']:.3g} TFLOP/s a device{use}")
    if "peak_memory_gib" in speed:
        facts.append(f"{speed['peak_memory_gib']:.2f} GiB of memory at the peak")
    return f"Trained at {', '.join(facts)}."
