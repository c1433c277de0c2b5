"""`avcap ablation run | cell` and `avcap dali run`: run all missing runs of a table, or a single one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from avcap.study.ablation.cell import cell_step, score_of, speed
from avcap.study.ablation.matrix import TABLE, read_matrix
from avcap.study.dali import OBJECTIVES, TOKENS, Stages
from avcap.study.graph import Step, run_steps, share_cores, unmade
from avcap.study.runner import Runner

METRIC, TITLE = "cider_d", "CIDEr-D"


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
        submit: Run each training and each test as a job of a cluster by submitit, with these settings:
            'slurm_partition=gpu gpus_per_node=1'.
        jobs: How many cells run at once.
        dry_run: Print the commands that would run, and run none.
        status: Print how far the cells are, and run none.

    Raises:
        FileNotFoundError: if there is no table, no config or no data.
        ValueError: if the table has no such matrix, axis or cell.
        SystemExit: with status 1 if a cell failed or was stopped.
    """
    found = read_matrix(matrix, table)
    found = replace(
        found,
        runs=runs or found.runs,
        data=data or found.data,
        seeds=tuple(map(int, seeds.split())) or found.seeds,
        axes={name: replace(axis, base=base or axis.base) for name, axis in found.axes.items()},
        same={} if base else found.same,
    )
    steps = found.steps(axes.split())
    if not status:
        _there(found.data, "docs/data.md says how to bring AudioCaps (make ablation-demo needs nothing)")
        make_files(steps, jobs, dry_run=dry_run, runner=make_runner(jobs, launch, submit))
    if not dry_run:
        _print_status(steps)


def cell(base: Path, overlay: Path, out: Path, *, seed: int = 0, launch: str = "", submit: str = "") -> None:
    """Fit and test one variant in its own folder, as `avcap ablation run` does; skip what is finished, resume what was stopped.

    All output goes to log.txt in the folder.

    Args:
        base: The config of the axis.
        overlay: The config of the variant, laid over it.
        out: The folder of the cell.
        seed: Seed of weights, dropout, order of the clips and choice of captions.
        launch: What to put before each command, such as 'srun --gres=gpu:1'.
        submit: Run each command as a job of a cluster by submitit, with these settings: 'slurm_partition=gpu gpus_per_node=1'.

    Raises:
        ValueError: if the folder holds something else.
        SystemExit: with status 1 if the cell failed or was stopped.
    """
    step = cell_step(base, overlay, out, seed=seed)
    make_files([step], 1, dry_run=False, runner=make_runner(1, launch, submit))
    _print_status([step])


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
    whole = make_files(stages.steps(), jobs, dry_run=dry_run, runner=make_runner(jobs))
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


def make_runner(jobs: int, launch: str = "", submit: str = "") -> Runner:
    """Return what runs commands: processes of this machine that share its cores, or jobs of a cluster."""

    def say(text: str) -> None:
        print(text, flush=True)

    if submit:
        from avcap.study.ablation.launch import ClusterRunner, read_settings

        return ClusterRunner(read_settings(submit), say, shlex.split(launch))
    return Runner(say, None if launch else share_cores(jobs), shlex.split(launch))


def make_files(steps: Sequence[Step], jobs: int, *, dry_run: bool, runner: Runner) -> bool:
    """Make what is not made, or print by which commands; whether all was made."""
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be 1 or more.")
    todo = unmade(steps)
    if dry_run:
        for step in todo:
            print("\n".join(map(shlex.join, step.commands)) or f"ln -s {step.needs[0].parent} {step.makes.parent}")
        return True
    print(f"{len(steps) - len(todo)} of {len(steps)} made", flush=True)
    outcome = run_steps(steps, runner, jobs=jobs)
    for file, why in outcome.failed.items():
        print(f"{file} failed: {why}")
    if outcome.left:
        print(f"not tried: {' '.join(map(str, outcome.left))}")
    if outcome.stopped:
        print("Stopped; the same command goes on.")
        raise SystemExit(128 + outcome.stopped)
    return not outcome.failed


def _print_status(steps: Sequence[Step]) -> None:
    """Print how far cells are, and what those that failed said last. Exit status 1 unless all are done or running."""
    width = max(len(str(step.makes.parent)) for step in steps)
    print(f"{'cell':<{width}}  {'state':<12}{'min':>6}{'clips/s':>9}{TITLE:>9}")
    states, failures = [], []
    for step in steps:
        folder, state, record = step.makes.parent, step.state(), step.read()
        points, rate = score_of(folder, METRIC), speed(folder)
        numbers = "".join(
            f"{'' if number is None else format(number, form):>9}"
            for number, form in ((rate, ".0f"), (points and 100 * points, ".1f"))
        )
        print(f"{folder!s:<{width}}  {state:<12}{record.seconds / 60 if record else 0:>6.1f}{numbers}".rstrip())
        states.append(state)
        if record and state == "failed":
            failures.append(f"\n{folder} failed: {record.error}\n  the whole log: {step.log}")
    print("\n".join([*failures, "\n" + ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))]))
    if set(states) - {"done", "running"}:
        raise SystemExit(1)
