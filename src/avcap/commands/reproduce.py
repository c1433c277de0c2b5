"""`avcap reproduce`: a paper's table, from the authors' files and AudioCaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from avcap.atomic import write_atomically
from avcap.captions import find_caption_file
from avcap.commands.doctor import finding_lines
from avcap.commands.study import make_files, make_runner
from avcap.machine import Finding
from avcap.metrics.evaluate import available
from avcap.study.ablation.cell import RESULTS
from avcap.study.graph import Step
from avcap.study.reproduce.compare import table_text
from avcap.study.reproduce.plan import Reproduction, Selection

ASIDE = ("metrics", "remarks")  # sections that stop nothing
REMARKS = {
    "avcap": "the official evaluation drops the last incomplete batch, so that some of its clips are not in the paper's scores",
    "lavcap": "the eight training prompts are avcap's own; decoder.prompting.prompts reads the authors' prompts/train_prompt.json",
    "dali": "captions are sampled, and the ids that the authors could not read are not published",
}


def reproduce(
    system: Literal["avcap", "lavcap", "dali"],
    *,
    data: Path,
    weights: Path,
    released: bool = False,
    rows: str = "",
    seeds: str = "42",
    selection: Selection = "test",
    audioset: Path | None = None,
    balanced: Path | None = None,
    devices: int = 1,
    settings: Path | None = None,
    out: Path | None = None,
    launch: str = "",
    submit: str = "",
    jobs: int = 1,
    dry_run: bool = False,
    status: bool = False,
) -> None:
    """Make a paper's table, or what is left of it, and print our rows beside the paper's.

    Says first what is missing and how to get it. Then imports the published weights, makes shards, trains or takes the released
    captioner, and tests by the published protocol. Run again after a kill, it goes on.

    Args:
        system: The system: avcap, lavcap or dali.
        data: Folder of AudioCaps: caption files and media, as docs/data.md describes them.
        weights: Folder of the published files; what is missing there is told by name.
        released: Test the authors' captioner in place of training one.
        rows: Rows of the table: 'frozen_4 tuned_1'; by default the published system.
        seeds: Seeds of the trainings: '42 43'.
        selection: Split whose scores choose the checkpoint: test, as the authors do, or val.
        audioset: Folder of the AudioSet clips that DALI aligns, with train.csv and perhaps val.csv.
        balanced: Folder of AudioSet's balanced training set, with train.csv, for DALI's pseudo-captions.
        devices: GPUs of a training; batches are accumulated until a step has as many clips as published.
        settings: A config laid over all others, or a folder with one of the same name as a config.
        out: Folder of all that is made; null: runs/reproduce/<system>.
        launch: What to put before each command, such as 'srun --gres=gpu:1'.
        submit: Run each command as a job of a cluster by submitit, with these settings: 'slurm_partition=gpu gpus_per_node=1'.
        jobs: How many steps run at once.
        dry_run: Print what is missing and the commands that would run, and run none.
        status: Print how far the steps are, and run none.

    Raises:
        ValueError: if the table has no such row.
        FileNotFoundError: if there is no such folder.
        SystemExit: with status 1 if something is missing, or a step failed.
    """
    made = Reproduction(
        system,
        data,
        weights,
        out or Path("runs/reproduce") / system,
        rows.split(),
        [int(seed) for seed in seeds.split()],
        released,
        selection,
        settings,
        audioset,
        balanced,
        devices,
    )
    if settings is not None and not settings.exists():
        raise FileNotFoundError(f"There is no {settings}; --settings names a config, or a folder of configs.")
    steps = made.steps()
    if status:
        _print_states(steps)
        return
    findings = list(needed(made))
    print(finding_lines(findings))
    missing = sum(bool(finding.problem) and finding.section not in ASIDE for finding in findings)
    if missing:
        print(f"\n{missing} thing{'s' if missing > 1 else ''} missing, marked with !")
    if missing and not dry_run:
        raise SystemExit(1)
    print()
    whole = make_files(steps, jobs, dry_run=dry_run, runner=make_runner(jobs, launch, submit))
    if dry_run:
        return
    if any(step.makes.name == RESULTS and step.makes.is_file() for step in steps):
        text = table_text(made)
        write_atomically(made.out / "table.md", text)
        print(f"\n{text}\nwrote {made.out / 'table.md'}")
    if not whole:
        raise SystemExit(1)


def needed(made: Reproduction) -> Iterator[Finding]:
    """Yield what was found of the user's files and folders, and what the table lacks without them."""
    for release in made.releases.values():
        yield Finding("weights", release.title, release.source(made.weights), release.problem(made.weights))
    yield from _captions("AudioCaps", made.data, ("test",) if made.released else ("train", "test"))
    if made.selection == "val" and not made.released and find_caption_file(made.data, "val") is None:
        yield Finding("data", "val", str(made.data), "put AudioCaps' val.csv there, or take --selection test")
    if made.system == "dali" and not made.released:
        for option, root, what in (
            ("audioset", made.audioset, "the 500,000 clips that the authors list at zenodo.org/records/13941386"),
            ("balanced", made.balanced, "AudioSet's balanced training set"),
        ):
            if root is None:
                yield Finding("data", option, "none", f"name a folder with {what}: --{option} FOLDER")
            else:
                yield from _captions(option, root, ("train",))
    reasons = available()
    for metric in made.table.metrics:
        yield Finding(
            "metrics", metric, "left out" if reasons[metric] else "available", reasons[metric] or "", minor=True
        )
    yield Finding("remarks", "not reproducible", REMARKS[made.system])


def _captions(name: str, root: Path, splits: Sequence[str]) -> Iterator[Finding]:
    for split in splits:
        found = find_caption_file(root, split)
        problem = "" if found else f"put {split}.csv (or {split}.json) and its media there; docs/data.md says how"
        yield Finding("data", f"{name} {split}", str(found or root), problem)


def _print_states(steps: Sequence[Step]) -> None:
    """Print how far each step is, and why one failed."""
    width = max(len(str(step.makes)) for step in steps)
    for step in steps:
        record = step.read()
        minutes = f"{record.seconds / 60:.1f} min" if record else ""
        print(
            f"{step.makes!s:<{width}}  {step.state():<12}{minutes:>10}  {record.error if record and record.error else ''}".rstrip()
        )
