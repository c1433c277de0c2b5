"""The steps from the authors' files and AudioCaps to a paper's table, for each of the three systems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from avcap.captions import find_caption_file
from avcap.config_files import whole_config
from avcap.study.ablation.cell import RESULTS, CellStep
from avcap.study.ablation.matrix import nested
from avcap.study.dali import avcap, of_seed
from avcap.study.graph import Command, Step
from avcap.study.reproduce.papers import PaperTable, read_papers
from avcap.study.reproduce.places import laid_over, relocated, write_overlay
from avcap.study.reproduce.releases import Release, read_releases

Selection = Literal["test", "val"]
SPLITS = ("train", "val", "test")
DALI = Path("configs/dali/paper")
CONFIGS = {"avcap": Path("configs/avcap.yaml"), "lavcap": Path("configs/lavcap.yaml"), "dali": DALI / "inference.yaml"}
STARTS = {
    "avcap": ("cav_mae", "git_base", "bert_words"),
    "lavcap": ("ced_base", "llama"),
    "dali": ("cav_mae", "llava", "dali_pairs"),
}
RELEASED = {
    "avcap": ("avcap_released", "bert_words"),
    "lavcap": ("lavcap_released", "llama"),
    "dali": ("dali_audio", "dali_projector", "llava"),
}
STEP_CLIPS = {
    "avcap": 64,
    "lavcap": 32,
    "1a_prefix": 16,
    "1b_alignment": 256,
    "2_distillation": 40,
}  # of an optimiser step
CARD_CLIPS = {"1b_alignment": 64}  # of a step on one card, where the config's are too many for 80 GB
FRAMES = {"avcap": ("--frames", "20"), "lavcap": ("--frames", "0"), "dali": ("--frames", "10", "--size", "336")}


@dataclass(frozen=True)
class Reproduction:
    """The table of one paper, made from a user's folders.

    Attributes:
        system: avcap, lavcap or dali.
        data: Folder of AudioCaps: caption files and media.
        weights: Folder of the published files.
        out: Folder of all that is made.
        rows: Rows of the paper's table; empty: the first one, which is the published system.
        seeds: Of the trainings.
        released: Test the authors' captioner in place of training one.
        selection: Split whose scores choose the checkpoint: ``test`` as published, or ``val``.
        settings: Configs laid over all others: a file, or a folder with a file of the same name as the config.
        audioset: Folder of the AudioSet clips that DALI aligns (splits train and perhaps val).
        balanced: Folder of AudioSet's balanced training set (split train), for DALI's pseudo-captions.
        devices: GPUs (or processes) of a training; batches are accumulated until a step has as many clips as published.
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
    balanced: Path | None = None
    devices: int = 1
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
        rows = tuple(self.rows) or (known[0],)
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
        if self.released and "stage1" in self.rows:
            names += ("dali_prefix",)
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
        folder, published = self.folder(row, seed), self.table.rows[row]
        settings = dict(published.settings)
        if self.selection == "test" and not self.released:
            settings["data.init_args.clips.paper_protocol"] = True
        config = CONFIGS[self.system]
        given = self._given((config, *published.configs), row, folder, seed, settings, trains=not self.released)
        if self.released:
            weights = self.releases[f"{self.system}_released"].path(self.weights)
            return self._cell(folder, [avcap("test", *given, "--weights", weights)], (*needs, weights))
        fit = avcap("fit", *given, "--ckpt_path", "last")
        test = avcap("test", *given, "--ckpt_path", folder / "checkpoints/best.ckpt")
        return self._cell(folder, [avcap("check", *given, "--ready"), fit, test], needs)

    def _dali(self) -> list[Step]:
        """Return all stages of DALI, or the import of the released parts, and the tests of all seeds."""
        prefix, audio, projector = (
            self.out / "weights" / read_releases()[name].makes
            for name in ("dali_prefix", "dali_audio", "dali_projector")
        )
        shards = self._shards(self.data, "shards")
        made = [*self._imports(), shards]
        if not self.released:
            aligned = self._shards(self.audioset or Path("AUDIOSET"), "audioset")
            balanced = self._shards(self.balanced or Path("BALANCED"), "balanced", splits=("train",))
            labels = self.out / "pseudo.jsonl"
            heard, seen = (audio, balanced.makes), (prefix, audio, balanced.makes)
            made += [
                aligned,
                balanced,
                self._stage("1a_prefix", "last", "decoder.prefix", prefix, (shards.makes,)),
                self._stage("1b_alignment", "best", "audio_encoder", audio, (made[0].makes, aligned.makes)),
                self._labels(labels, seen),
                self._stage("2_distillation", "last", "fusion.audio_projector", projector, (labels, *heard)),
            ]
        needs = tuple(step.makes for step in made)
        for row in self.rows:
            for seed in self.seeds:
                configs, folder = (CONFIGS["dali"], *self.table.rows[row].configs), self.folder(row, seed)
                given = self._given(configs, row, folder, seed, {}, trains=False)
                made.append(self._cell(folder, [avcap("test", *given)], needs))
        return made

    def _stage(self, config: str, checkpoint: str, part: str, makes: Path, needs: Sequence[Path]) -> Step:
        """Return a training stage of DALI, and the part of it that later stages read."""
        folder = self.out / config
        given = self._given((DALI / f"{config}.yaml",), config, folder, self.seeds[0], {})
        fit = avcap("fit", *given, "--ckpt_path", "last")
        take = avcap("weights part", folder / f"checkpoints/{checkpoint}.ckpt", part, makes)
        check = avcap("check", *given, "--ready", "--stages", "[fit]")
        return self._step(makes, [check, fit, take], needs, (folder,))

    def _labels(self, makes: Path, needs: Sequence[Path]) -> Step:
        """Return the step that writes DALI's pseudo-captions."""
        name = "pseudo_label"
        given = self._given((DALI / f"{name}.yaml",), name, self.out / name, self.seeds[0], {}, trains=False)
        label = avcap("dali pseudo-label", *given, "--out", makes)
        return self._step(makes, [label], needs, (makes.with_name(f"{makes.name}.parts"),))

    def _given(
        self,
        configs: Sequence[Path],
        name: str,
        run: Path,
        seed: int,
        settings: Mapping[str, Any],
        *,
        trains: bool = True,
    ) -> tuple[str, ...]:
        """Return the options of a command: configs, each with what changes in it here, the seeds and the run's folder."""
        base = configs[0]
        more = self._own(base)
        settings = {**settings, **self._steps_of(base, more, trains=trains)}
        words: list[str] = []
        for place, file in enumerate(configs):
            overlay = self.out / "configs" / f"{name}{f'_{file.stem}' if place else ''}.yaml"
            write_overlay(overlay, file, self.places, {} if place else nested(settings))
            words += ["--config", str(file), "--config", str(overlay)]
        words += [word for path in more for word in ("--config", str(path))]
        return (*words, *of_seed(seed), "--trainer.default_root_dir", str(run))

    def _steps_of(self, config: Path, more: Sequence[Path], *, trains: bool) -> dict[str, Any]:
        """Return the settings that make a step of as many clips as published, on the devices that there are.

        Raises:
            ValueError: if no number of batches makes them.
        """
        settings: dict[str, Any] = {"trainer.devices": self.devices}
        if not trains:
            return settings
        own = [size for path in more if (size := _batch_size(path)) is not None]
        size = own[-1] if own else _batch_size(config) or 1
        if not own and size > CARD_CLIPS.get(config.stem, size):
            size = settings["data.init_args.batch_size"] = CARD_CLIPS[config.stem]
        batches, rest = divmod(STEP_CLIPS[config.stem], size * self.devices)
        if rest:
            raise ValueError(
                f"{self.devices} devices with {size} clips each do not make the {STEP_CLIPS[config.stem]} clips of a step of "
                f"{config}; choose --devices, or data.init_args.batch_size in --settings, so that they do."
            )
        return {**settings, "trainer.accumulate_grad_batches": batches}

    def _imports(self) -> list[Step]:
        """Return the steps that convert published files."""
        steps = []
        for release in self.releases.values():
            if release.makes:
                source, makes = release.path(self.weights), self.out / "weights" / release.makes
                command = avcap("weights import", source, makes, "--format", release.format)
                steps.append(Step(makes, (command,), (source,)))
        return steps

    def _shards(self, root: Path, name: str, splits: Sequence[str] = SPLITS) -> Step:
        """Return the step that makes shards; a file beside them says that they are made."""
        wanted = ("test",) if self.released else splits
        files = {split: found for split in wanted if (found := find_caption_file(root, split)) is not None}
        out = self.out / name
        splits = list(files or wanted)
        makes, listed = self.out / f"{name}-{'-'.join(splits)}.ready", f"[{','.join(splits)}]"
        more: tuple[str, ...] = FRAMES[self.system]
        commands: list[Command] = []
        if self.system == "lavcap" and not self._has_features():
            features = self.out / "visual_feature"
            command = avcap("data features", root, "--out", features, *self._features_encoder(), "--splits", listed)
            commands.append(command)
            more = (*more, "--features", str(features))
        prepare = avcap("data prepare", root, "--out", out, "--splits", listed, *more, "--update", "true")
        return Step(makes, (*commands, prepare, ("touch", str(makes))), tuple(files.values()))

    def _features_encoder(self) -> list[str]:
        """Return the options that name the encoder of the visual features: that of the config, or CLIP ViT-L/14."""
        made: Any = {"class_path": "CLIPVisual", "init_args": {"pretrained": read_releases()["clip"].named}}
        for path in (CONFIGS[self.system], *self._own(CONFIGS[self.system])):
            parts = (whole_config(path).get("model") or {}).get("init_args") or {}
            made = ((parts.get("visual_encoder") or {}).get("init_args") or {}).get("features_from") or made
        made = laid_over(made, relocated(made, self.places) or {})
        settings = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in made["init_args"].items()
        }
        return [
            "--encoder",
            made["class_path"],
            *(w for key, text in settings.items() for w in (f"--encoder.{key}", text)),
        ]

    def _own(self, config: Path) -> tuple[Path, ...]:
        """Return the user's config that is laid over one, if there is any."""
        own = self.settings / config.name if self.settings is not None and self.settings.is_dir() else self.settings
        return (own,) if own is not None and own.is_file() else ()

    def _has_features(self) -> bool:
        """Return whether the authors' visual features lie beside the media."""
        return any(next(self.data.glob(f"{above}visual_feature/*.npy"), None) for above in ("", "*/"))

    def _places(self) -> dict[str, str]:
        """Return what the configs name -> where it is here."""
        there = {release.named: release.source(self.weights) for release in read_releases().values() if release.named}
        made = {
            "checkpoints": "weights",
            "data/audiocaps/shards": "shards",
            "data/audiocaps/shards_336": "shards",
            "data/audioset/shards": "audioset",
            "data/audioset_balanced/shards": "balanced",
            "runs/dali_paper": "",
        }
        return {**there, **{name: str(self.out / place) for name, place in made.items()}}

    def _cell(self, folder: Path, commands: Sequence[Command], needs: tuple[Path, ...]) -> Step:
        return CellStep(folder / RESULTS, tuple(commands), needs, _configs(commands), (folder,))

    def _step(self, makes: Path, commands: Sequence[Command], needs: Sequence[Path], clears: tuple[Path, ...]) -> Step:
        return Step(makes, tuple(commands), tuple(needs), _configs(commands), clears, self.out)


def _batch_size(config: Path) -> int | None:
    """Return the clips that a device takes in a step by a config; None where it does not say."""
    return ((whole_config(config).get("data") or {}).get("init_args") or {}).get("batch_size")


def _configs(commands: Sequence[Command]) -> tuple[Path, ...]:
    """Return the configs that commands name, each once."""
    named = [word for words in commands for option, word in pairwise(words) if option == "--config"]
    return tuple(Path(word) for word in dict.fromkeys(named))
