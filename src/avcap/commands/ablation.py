"""`avcap ablation`: run one cell of the matrix, or show the status of all."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from avcap.study.ablation.cell import Cell, run_cell
from avcap.study.ablation.status import LOG, RESULTS, STATUS, Status, look_up

METRIC, TITLE = "cider_d", "CIDEr-D"


def cell(base: Path, overlay: Path, out: Path, *, seed: int = 0, launch: str = "", submit: str = "") -> None:
    """Fit and test one variant in its own folder; skip what is finished, and resume what was stopped.

    `avcap ablation run` does this for each cell. All output goes to log.txt in the folder, beside status.json.

    Args:
        base: The config of the axis.
        overlay: The config of the variant, laid over it.
        out: The folder of the cell.
        seed: Seed of weights, dropout, order of the clips and choice of captions.
        launch: What to put before each command, such as 'srun --gres=gpu:1'.
        submit: Run as a job of a cluster by submitit, with these settings: 'slurm_partition=gpu gpus_per_node=1'.

    Raises:
        SystemExit: with status 1 if the cell failed or was stopped.
    """
    launcher = None
    if submit:
        from avcap.study.ablation.launch import ClusterJob, read_settings

        launcher = ClusterJob(read_settings(submit))
    reached = run_cell(Cell(base, overlay, seed, out, tuple(shlex.split(launch))), launcher)
    print(_line(out, reached))
    if reached.state != "done":
        raise SystemExit(1)


def status(folders: list[Path]) -> None:
    """Print how far cells are, and what those that failed said last. Exit status 1 unless all are done or running.

    Args:
        folders: Folders of cells, or of whole matrices.
    """
    cells = [found for folder in folders for found in _cells(folder)]
    rows = {folder: look_up(folder) for folder in cells}
    width = max(map(len, map(str, rows)), default=0)
    print(f"{'cell':<{width}}  {'state':<12}{'min':>6}{'clips/s':>9}{TITLE:>9}")
    for folder, found in rows.items():
        speed = "" if found.clips_per_second is None else f"{found.clips_per_second:.0f}"
        numbers = f"{found.seconds / 60:>6.1f}{speed:>9}{_score(folder):>9}"
        print(f"{folder!s:<{width}}  {found.state:<12}{numbers}".rstrip())
    for folder, found in rows.items():
        if found.state == "failed":
            print(f"\n{folder} failed: {found.error}\n  the whole log: {folder / LOG}")
    states = [found.state for found in rows.values()]
    print("\n" + ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))))
    if set(states) - {"done", "running"}:
        raise SystemExit(1)


def _cells(folder: Path) -> list[Path]:
    """Return the cells below the folder of a matrix, an axis or a variant, links included; the folder itself if it is a cell or holds none."""
    below = ("*/" * depth + STATUS for depth in range(4))
    return sorted(path.parent for pattern in below for path in folder.glob(pattern)) or [folder]


def _line(folder: Path, found: Status) -> str:
    said = f": {found.error}" if found.error else ""
    return f"{folder}  {found.state}  {found.seconds / 60:.1f} min{said}"


def _score(folder: Path) -> str:
    path = folder / RESULTS
    if not path.is_file():
        return ""
    value = json.loads(path.read_text(encoding="utf-8"))["scores"].get(METRIC)
    return "" if value is None else f"{100 * value:.1f}"
