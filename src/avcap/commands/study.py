"""`avcap ablation run` and `avcap dali run`: run all missing runs of a table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from avcap.study.ablation.matrix import TABLE, read_matrix
from avcap.study.dali import OBJECTIVES, TOKENS, Stages
from avcap.study.graph import Step, run_steps, share_cores, unmade


def ablation(
    matrix: str = "paper",
    /,
    *,
    axes: str = "",
    seeds: str = "",
    runs: Path | None = None,
    base: Path | None = None,
    data: Path | None = None,
    table: Path = TABLE,
    launch: str = "",
    submit: str = "",
    jobs: int = 1,
    dry_run: bool = False,
    status: bool = False,
) -> None:
    """Run an ablation matrix, or what is left of it, and print how far its cells are.

    Args:
        matrix: A matrix of the table.
        axes: Only these axes, or single cells: 'fusion ot/full'.
        seeds: Other seeds than those of the table: '42 43'.
        runs: Another folder for the runs.
        base: Another config to lay the values over; values are then not taken for the same run.
        data: Another file that is there when the data are.
        table: The table of axes and matrices.
        launch: What to put before each command of a cell, such as 'srun --gres=gpu:1'.
        submit: Run each cell as a job of a cluster by submitit, with these settings: 'slurm_partition=gpu gpus_per_node=1'.
        jobs: How many cells run at once.
        dry_run: Print the commands that would run, and run none.
        status: Print how far the cells are, and run none.

    Raises:
        FileNotFoundError: if there is no table, no config or no data.
        ValueError: if the table has no such matrix, axis or cell.
        SystemExit: with status 1 if a cell failed or was stopped.
    """
    from avcap.commands.ablation import status as print_status

    found = read_matrix(matrix, table)
    found = replace(
        found,
        runs=runs or found.runs,
        data=data or found.data,
        seeds=tuple(map(int, seeds.split())) or found.seeds,
        axes={name: replace(axis, base=base or axis.base) for name, axis in found.axes.items()},
        same={} if base else found.same,
    )
    options = [
        word for name, value in (("launch", launch), ("submit", submit)) if value for word in (f"--{name}", value)
    ]
    steps = found.steps(axes.split(), options=options)
    if not status:
        _there(found.data, "docs/data.md says how to bring AudioCaps (make ablation-demo needs nothing)")
        _run(steps, jobs, dry_run=dry_run, share=not options)
    if not dry_run:
        print_status([step.makes.parent for step in steps])


def dali(
    *,
    objectives: str = " ".join(OBJECTIVES),
    seeds: str = "0 1 2",
    tokens: str = " ".join(TOKENS),
    out: Path = Path("runs/dali"),
    data: Path = Path("data/demo"),
    jobs: int = 1,
    dry_run: bool = False,
) -> None:
    """Run DALI's stages on the embedded data set, or what is left of them, and report what was tested.

    Args:
        objectives: Rows of the table, separated by spaces; 'none' is the audio encoder that alignment starts from.
        seeds: Seeds of alignment and of stage 2.
        tokens: The audio tokens as alignment leaves them ('as_trained'), with the spread of image tokens ('calibrated'), or both.
        out: Folder of all that is made; the configs name runs/dali.
        data: Folder of the embedded data set; the configs name data/demo.
        jobs: How many stages run at once.
        dry_run: Print the commands that would run, and run none.

    Raises:
        FileNotFoundError: if there is no embedded data set.
        ValueError: if there is no such objective, or no such tokens.
        SystemExit: with status 1 if a stage failed or was stopped.
    """
    rows = objectives.split()
    stages = Stages(rows, [int(seed) for seed in seeds.split()], tokens.split(), out, data)
    if not dry_run:
        _there(data / "shards/test/info.json", "`make demo-dali` makes it")
    whole = _run(stages.steps(), jobs, dry_run=dry_run)
    if dry_run:
        return
    if any(out.glob("results/*/*/*/results.json")):
        from avcap.commands.report import report

        baseline = "contrastive" if "contrastive" in rows else rows[0]
        title = "DALI on the embedded data set"
        report([out / "results"], baseline=f"{baseline}_audio", out=out / "report", title=title)
    if not whole:
        raise SystemExit(1)


def _there(file: Path, remedy: str) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"There is no {file}; {remedy}.")


def _run(steps: Sequence[Step], jobs: int, *, dry_run: bool, share: bool = True) -> bool:
    """Make what is not made, or print by which commands; whether all was made."""
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be 1 or more.")
    todo = unmade(steps)
    if dry_run:
        for step in todo:
            print("\n".join(map(shlex.join, step.commands)) or f"ln -s {step.needs[0].parent} {step.makes.parent}")
        return True
    print(f"{len(steps) - len(todo)} of {len(steps)} made", flush=True)
    outcome = run_steps(
        steps, jobs=jobs, environment=share_cores(jobs) if share else None, say=lambda text: print(text, flush=True)
    )
    for file, why in outcome.failed.items():
        print(f"{file} failed: {why}")
    if outcome.left:
        print(f"not tried: {' '.join(map(str, outcome.left))}")
    if outcome.stopped:
        print("Stopped; the same command goes on.")
        raise SystemExit(128 + outcome.stopped)
    return not outcome.failed
