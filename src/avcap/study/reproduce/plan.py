"""The steps from the authors' files and AudioCaps to a paper's table, for each of the three systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from avcap.captions import find_caption_file
from avcap.study.ablation.cell import RESULTS, CellStep
from avcap.study.ablation.matrix import nested
from avcap.study.dali import avcap, last, of_seed
from avcap.study.graph import Command, Step
from avcap.study.reproduce.papers import PaperTable, PublishedRow, read_papers
from avcap.study.reproduce.places import write_overlay
from avcap.study.reproduce.releases import Release, read_releases

Selection = Literal["test", "val"]
SPLITS = ("train", "val", "test")
DALI = Path("configs/dali/paper")
CONFIGS = {"avcap": Path("configs/avcap.yaml"), "lavcap": Path("configs/lavcap.yaml"), "dali": DALI / "inference.yaml"}
STARTS = {"avcap": ("cav_mae", "git_base", "bert_words"), "lavcap": ("ced_base", "llama"), "dali": ("cav_mae", "llava")}
RELEASED = {
    "avcap": ("avcap_released", "bert_words"),
    "lavcap": ("lavcap_released", "llama"),
    "dali": ("dali_audio", "dali_projector", "dali_prefix", "llava"),
}
FRAMES = {"avcap": ("--frames", "20"), "lavcap": ("--frames", "0"), "dali": ("--frames", "10", "--size", "336")}


@dataclass(frozen=True)
class Reproduction:
    """The table of one paper, made from a user's folders.

    Attributes:
        system: avcap, lavcap or dali.
        data: Folder of AudioCaps: caption files and media.
        weights: Folder of the published files.
        out: Folder of all that is made.
        rows: Rows of the paper's table; empty: the first one (DALI: all).
        seeds: Of the trainings.
        released: Test the authors' captioner in place of training one.
        selection: Split whose scores choose the checkpoint: ``test`` as published, or ``val``.
        settings: Configs laid over all others: a file, or a folder with a file of the same name as the config.
        audioset: Folder of AudioSet clips with caption files, for DALI's alignment (train) and pseudo-captions.
    """

    system: str
    data: Path
    weights: Path
    out: Path
    rows: Sequence[str] = ()
    seeds: Sequence[int] = (42,)
    released: bool = False
    selection: Selection = "test"
    settings: Path | None = None
    audioset: Path | None = None
    places: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Check the names, and choose the rows.

        Raises:
            ValueError: if there is no such system or row, or a released captioner is asked for a row that it is not.
        """
        if self.system not in CONFIGS:
            raise ValueError(f"There is no paper of {self.system!r}; choose of {', '.join(CONFIGS)}.")
        known = list(self.table.rows)
        if wrong := [row for row in self.rows if row not in known]:
            raise ValueError(f"The table of {self.system} has no row {wrong[0]!r}; choose of {', '.join(known)}.")
        rows = tuple(self.rows) or (tuple(known) if self.system == "dali" else (known[0],))
        if self.released and self.system != "dali" and rows != (known[0],):
            raise ValueError(f"The released captioner is the row {known[0]}; the other rows must be trained.")
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "places", self._places())

    @property
    def table(self) -> PaperTable:
        """The paper's table."""
        return read_papers()[self.system]

    @property
    def releases(self) -> dict[str, Release]:
        """The published files that are needed, by their short names."""
        names = (RELEASED if self.released else STARTS)[self.system]
        if self.system == "lavcap" and not self._has_features():
            names += ("clip",)
        return {name: read_releases()[name] for name in names}

    def folder(self, row: str, seed: int) -> Path:
        """Return the folder of a test."""
        return self.out / row / str(seed)

    def steps(self) -> list[Step]:
        """Return the steps in the order in which they are wanted; writes the configs that they name.

        Raises:
            FileNotFoundError: if a config of the repository is not there.
        """
        if self.system == "dali":
            return self._dali()
        made = [*self._imports(), self._shards(self.data, "shards")]
        needs = tuple(step.makes for step in made)
        runs = [self._run(row, seed, needs) for row in self.rows for seed in self.seeds]
        return [*made, *runs]

    def _run(self, row: str, seed: int, needs: tuple[Path, ...]) -> Step:
        """Return the step that trains and tests one row, or tests the released captioner."""
        folder = self.folder(row, seed)
        given = self._given(CONFIGS[self.system], row, folder, of_seed(seed), self._row_settings(self.table.rows[row]))
        if self.released:
            weights = self.releases[f"{self.system}_released"].path(self.weights)
            return self._cell(folder, [avcap("test", *given, "--weights", weights)], (*needs, weights))
        best = folder / "checkpoints/best.ckpt"
        fit = avcap("fit", *given, "--ckpt_path", "last")
        return self._cell(
            folder, [avcap("check", *given, "--ready"), fit, avcap("test", *given, "--ckpt_path", best)], needs
        )

    def _row_settings(self, row: PublishedRow) -> dict[str, Any]:
        settings = dict(row.settings)
        if self.selection == "test" and not self.released:
            settings["data.init_args.clips.paper_protocol"] = True
        return settings

    def _dali(self) -> list[Step]:
        """Return all stages of DALI, or the import of the released parts, and the tests."""
        made, names = (
            [*self._imports(), self._shards(self.data, "shards")],
            ("dali_prefix", "dali_audio", "dali_projector"),
        )
        needs = [step.makes for step in made]
        prefix, audio, projector = (self._imported(name) for name in names)
        seed = self.seeds[0]
        if not self.released:
            made.append(self._shards(self.audioset or Path("AUDIOSET"), "audioset"))
            start, labels = (self.out / "weights/cav_mae.safetensors", made[-1].makes), self.out / "pseudo.jsonl"
            made.append(self._stage("1a_prefix", "prefix", "decoder.prefix", prefix, needs, seed))
            made.append(self._stage("1b_alignment", "alignment", "audio_encoder", audio, start, seed))
            given = self._given(DALI / "inference.yaml", "pseudo", self.out / "pseudo", (), {})
            label = avcap("dali pseudo-label", *given, "--out", labels)
            made.append(self._step(labels, [label], (prefix, audio, start[1])))
            made.append(
                self._stage(
                    "2_distillation", "distillation", "fusion.audio_projector", projector, (labels, audio), seed
                )
            )
        needs += [prefix, audio, projector]
        tests = []
        for row in self.rows:
            folder, sides = self.folder(row, seed), (DALI / "distilled.yaml", DALI / f"modality/{row}.yaml")
            given = self._given(DALI / "inference.yaml", row, folder, of_seed(seed), {}, over=sides)
            tests.append(self._cell(folder, [avcap("test", *given)], tuple(needs)))
        return [*made, *tests]

    def _stage(self, config: str, run: str, part: str, makes: Path, needs: Sequence[Path], seed: int) -> Step:
        """Return a training stage of DALI, and the part of it that later stages read."""
        folder = self.out / run
        given = self._given(DALI / f"{config}.yaml", run, folder, of_seed(seed), {})
        fit = avcap("fit", *given, "--ckpt_path", "last")
        take = avcap("weights part", last(folder), part, makes)
        return self._step(makes, [avcap("check", *given, "--ready"), fit, take], needs, clears=(folder,))

    def _given(
        self,
        config: Path,
        name: str,
        run: Path,
        options: Sequence[str],
        settings: Mapping[str, Any],
        over: Sequence[Path] = (),
    ) -> tuple[str, ...]:
        """Return the options of a command: configs laid over one another, the run's folder, and ``options``."""
        configs = [config]
        for place, file in enumerate((config, *over)):
            ours = write_overlay(
                self.out / "configs" / f"{name}{f'_{file.stem}' if place else ''}.yaml",
                file,
                self.places,
                {} if place else nested(settings),
            )
            configs += [file, ours] if place else [ours]
        if self.settings is not None:
            own = self.settings / config.name if self.settings.is_dir() else self.settings
            configs += [own] if own.is_file() else []
        words = [word for path in configs for word in ("--config", str(path))]
        return (*words, *options, "--trainer.default_root_dir", str(run))

    def _imports(self) -> list[Step]:
        """Return the steps that convert published files."""
        steps = []
        for release in self.releases.values():
            if release.makes:
                source, makes = release.path(self.weights), self.out / "weights" / release.makes
                command = avcap("weights import", source, makes, "--format", release.format)
                steps.append(Step(makes, (command,), (source,)))
        return steps

    def _imported(self, name: str) -> Path:
        return self.out / "weights" / read_releases()[name].makes

    def _shards(self, root: Path, name: str) -> Step:
        """Return the step that makes shards; a file beside them says that they are made."""
        files = {split: found for split in self._splits(root) if (found := find_caption_file(root, split)) is not None}
        out = self.out / name
        splits = list(files) or list(self._splits(root))
        makes, listed = self.out / f"{name}-{'-'.join(splits)}.ready", f"[{','.join(splits)}]"
        more: tuple[str, ...] = FRAMES[self.system]
        commands: list[Command] = []
        if self.system == "lavcap" and not self._has_features():
            features = self.out / "visual_feature"
            clip = ("--encoder", "CLIPVisual", "--encoder.pretrained", self.releases["clip"].path(self.weights))
            commands.append(avcap("data features", root, features, *clip, "--splits", listed))
            more = (*more, "--features", str(features))
        prepare = avcap("data prepare", root, "--out", out, "--splits", listed, *more, "--update", "true")
        return Step(makes, (*commands, prepare, ("touch", str(makes))), tuple(files.values()))

    def _splits(self, root: Path) -> tuple[str, ...]:
        return ("test",) if self.released and root == self.data else SPLITS

    def _has_features(self) -> bool:
        """Return whether the authors' visual features lie beside the media."""
        return any(next(self.data.glob(f"{above}visual_feature/*.npy"), None) for above in ("", "*/"))

    def _places(self) -> dict[str, str]:
        """Return what the configs name -> where it is here."""
        hubs = {release.hub: release.source(self.weights) for release in read_releases().values() if release.hub}
        made = {"checkpoints": "weights", "data/audiocaps/shards": "shards", "data/audioset/shards": "audioset"}
        made["runs/dali_paper"] = ""
        return {**hubs, **{name: str(self.out / place) for name, place in made.items()}}

    def _cell(self, folder: Path, commands: Sequence[Command], needs: tuple[Path, ...]) -> Step:
        return CellStep(folder / RESULTS, tuple(commands), needs, _configs(commands), (folder,))

    def _step(
        self, makes: Path, commands: Sequence[Command], needs: Sequence[Path], clears: tuple[Path, ...] = ()
    ) -> Step:
        clears = (*clears, makes.with_name(f"{makes.name}.parts"))  # of pseudo-captions
        return Step(makes, tuple(commands), tuple(needs), _configs(commands), clears, self.out)


def _configs(commands: Sequence[Command]) -> tuple[Path, ...]:
    """Return the configs that commands name, each once."""
    named = [word for words in commands for option, word in pairwise(words) if option == "--config"]
    return tuple(Path(word) for word in dict.fromkeys(named))
