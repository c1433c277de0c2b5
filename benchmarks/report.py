"""How large the HTML report of an experiment matrix is, and how long it takes to make and to open.

    python benchmarks/report.py [--variants 5] [--seeds 3] [--clips 1000] [--out DIR] [--require_mb 30] [--require_s 3]

The matrix is made up: four axes, made-up captions and scores, learning curves, three assignment maps a run, and for each
clip a noisy spectrogram and eight frames, which compress worse than real ones. The page is opened in a headless Chromium
where one is installed. The exit status is 1 where it is larger or slower than required.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from avcap.figures import draw_map
from avcap.ids import id_hash
from avcap.metrics.predictions import write_predictions
from avcap.metrics.results import write_results
from avcap.study.report.collect import choose_baselines, find_runs, group_runs
from avcap.study.report.compose import compose_report, write_report
from avcap.study.report.curves import read_curves
from avcap.study.report.page.pictures import sprite

AXES = ("fusion", "loss", "encoder", "decoder")
NOUNS = ["a dog", "a cat", "a man", "rain", "an engine", "a bell", "water", "a woman", "the wind", "a small child"]
VERBS = ["speaks", "barks and then", "falls while", "hums loudly", "rings as", "splashes softly", "sings", "moves"]
METRICS = ("bleu_4", "meteor", "rouge_l", "cider_d")


def make_matrix(root: Path, *, variants: int, seeds: int, clips: int, extras: bool = True) -> list[str]:
    """Writes a made-up matrix ``root/<axis>/<variant>/<seed>`` and returns the clip ids.

    Args:
        root: Its folder.
        variants: Of each of the four axes.
        seeds: Of each variant.
        clips: In the test split.
        extras: Whether to write learning curves and maps too.
    """
    generator = np.random.default_rng(0)
    ids = [f"clip{number:07d}_{10 * (number % 30)}" for number in range(clips)]
    references = {clip: [_sentence(generator) for _ in range(5)] for clip in ids}
    difficulty = generator.gamma(2.0, 0.5, clips)
    if extras:
        _draw(root / "map.png", generator)
    for axis in AXES:
        for variant in range(variants):
            for seed in range(seeds):
                folder = root / axis / f"variant_{variant}" / str(seed)
                scores = difficulty[:, None] * generator.gamma(4.0, 0.06 + 0.01 * variant, (clips, len(METRICS)))
                _write_run(folder, references, scores, config={axis: variant, "seed_everything": seed})
                if extras:
                    _write_curves(folder / "csv" / "version_0", generator)
                    (folder / "maps").mkdir()
                    for number in range(3):
                        shutil.copy(root / "map.png", folder / "maps" / f"{ids[number]}.png")
    return ids


def make_thumbnails(ids: list[str]) -> dict[str, str]:
    """A sprite of noisy sound and pictures for each clip."""
    generator = np.random.default_rng(1)
    pictures = {}
    for clip in ids:
        fbank = generator.normal(0, 1, (500, 64)) + 6 * np.sin(np.linspace(0, generator.uniform(9, 90), 500))[:, None]
        slope = np.linspace(40, 200, 64) * generator.uniform(0.5, 1.2, (8, 3, 1, 1))
        frames = (slope + generator.normal(0, 8, (8, 3, 64, 64))).clip(0, 255).astype(np.uint8)
        pictures[clip] = sprite(fbank, frames)
    return pictures


def open_seconds(page: Path) -> float | None:
    """Seconds from navigation to everything loaded and laid out, in a headless Chromium; None without one."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return None
    probe = page.with_name("probe.html")
    watch = (
        "<script>addEventListener('load', () => "
        "{ document.title = `laid out ${document.body.offsetHeight}, opened ${performance.now()}`; });</script></body>"
    )
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", watch), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [program, *flags, "--timeout=20000", "--dump-dom", probe.resolve().as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    probe.unlink()
    found = re.search(r"opened ([\d.]+)", dom)
    if found is None:
        raise RuntimeError(f"{program} did not open the page within 20 s")
    return float(found[1]) / 1000


def _sentence(generator: np.random.Generator) -> str:
    pairs = zip(generator.choice(NOUNS, 4), generator.choice(VERBS, 4), strict=True)
    return " ".join(f"{noun} {verb}" for noun, verb in pairs)


def _write_run(folder: Path, references: dict[str, list[str]], scores: np.ndarray, *, config: dict) -> None:
    """Results, captions and config; the caption of a clip is one of its references, cut."""
    ids = list(references)
    rows = [
        {
            "id": clip,
            "caption": f"{references[clip][number % 5].rsplit(' ', 1 + number % 4)[0]} {folder.parent.name}",
            "references": references[clip],
            "scores": dict(zip(METRICS, line.tolist(), strict=True)),
        }
        for number, (clip, line) in enumerate(zip(ids, scores, strict=True))
    ]
    write_predictions(folder / "predictions.jsonl", rows)
    means = dict(zip(METRICS, scores.mean(0).tolist(), strict=True))
    parameters = {"trainable": 4_278_717, "all": 6_738_415_616}
    write_results(
        folder / "results.json",
        {
            "name": "made up",
            "scores": {**means, "vocab": 120.0},
            "clips": len(ids),
            "id_hash": id_hash(ids),
            "human_bound": dict.fromkeys(METRICS, 0.9),
            "settings": {"parameters": parameters},
        },
    )
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML


def _write_curves(folder: Path, generator: np.random.Generator) -> None:
    tags = ("train/loss", "train/loss_caption", "train/loss_ot", "val/loss", "val/cider_d")
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "time", *tags])
        for step in range(0, 1000, 10):
            writer.writerow([step, float(step), *(np.exp(-step / 300) + generator.uniform(0, 0.1, len(tags)))])


def _draw(path: Path, generator: np.random.Generator) -> None:
    draw_map(
        path,
        fbank=torch.from_numpy(generator.normal(0, 1, (500, 64))),
        frames=torch.from_numpy(generator.integers(0, 255, (8, 3, 64, 64))),
        plan=torch.from_numpy(generator.uniform(0, 1, (8, 32))),
        visual_time=torch.arange(8) * 0.625 + 0.3125,
        audio_time=torch.arange(32) * 0.15625 + 0.078125,
        seconds=5.0,
        caption="made up",
    )


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("variants", 5), ("seeds", 3), ("clips", 1000), ("require_mb", 30), ("require_s", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "matrix", options.out or Path(folder) / "report"
        ids = make_matrix(root, variants=options.variants, seeds=options.seeds, clips=options.clips)
        pictures = make_thumbnails(ids)
        started = time.perf_counter()
        runs = find_runs([root])
        groups = group_runs(runs)
        content = compose_report(
            groups,
            baselines=choose_baselines(groups, None),
            curves={run.folder: read_curves(run.folder) for run in runs},
            kinds={group.id_hash: {} for group in groups},
            clips=options.clips,
        )
        page = write_report(out, content, title="A made-up matrix", thumbnails=pictures)[0]
        made = time.perf_counter() - started
        size, opened = page.stat().st_size / 1e6, open_seconds(page)
    print(f"{content.summary}\nmade in {made:.1f} s, {size:.1f} MB, opened in", end=" ")
    print("(no Chromium here)" if opened is None else f"{opened:.2f} s")
    sys.exit(size > options.require_mb or (opened or 0) > options.require_s)


if __name__ == "__main__":
    main()
