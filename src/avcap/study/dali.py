"""DALI on the embedded data set, stage by stage: the files that each stage makes, and by which commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from avcap.study.graph import Command, Step

CONFIGS = Path("configs/dali")
NONE = "none"  # instead of an objective: the audio encoder that alignment starts from
OBJECTIVES = (NONE, "contrastive", "mmd", "ot", "attentive_ot")
AS_TRAINED, CALIBRATED = TOKENS = (
    "as_trained",
    "calibrated",
)  # audio tokens as alignment leaves them, or spread like images
AUDIO_WEIGHTS = "--model.init_args.audio_encoder.init_args.pretrained"
PROJECTOR_WEIGHTS = "--model.init_args.fusion.init_args.pretrained_audio"


@dataclass(frozen=True)
class Stages:
    """All stages of DALI's table.

    Attributes:
        objectives: Rows of the table: names of ``configs/dali/objective``, and ``none``.
        seeds: Of alignment and of stage 2.
        tokens: Which audio tokens stage 2 and the tests are given.
        out: Folder of all that is made.
        data: Folder of the embedded data set.
    """

    objectives: Sequence[str] = OBJECTIVES
    seeds: Sequence[int] = (0, 1, 2)
    tokens: Sequence[str] = TOKENS
    out: Path = Path("runs/dali")
    data: Path = Path("data/demo")

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ValueError: if there is no such objective, or no such tokens.
        """
        known = [NONE, *sorted(path.stem for path in (CONFIGS / "objective").glob("*.yaml"))]
        for given, there in ((self.objectives, known), (self.tokens, TOKENS)):
            if not given or set(given) - set(there):
                raise ValueError(f"{' '.join(given)!r} names no objectives or tokens; choose of {', '.join(there)}.")

    def steps(self) -> list[Step]:
        """Return what every row needs, then row by row of the first seed all stages and tests, then those of the next seed."""
        rows = [self.row(objective, seed) for seed in self.seeds for objective in self.objectives]
        return [*self.captioner(), *(step for row in rows for step in row)]

    def captioner(self) -> list[Step]:
        """Return the stages that no objective and no seed changes."""
        out, stills = self.out, self.data / "stills/train/info.json"
        texts, answers = self.data / "texts.jsonl", out / "instructions.jsonl"
        lm, captions, llava = (out / name / "model.safetensors" for name in ("language/lm", "llava_captions", "llava"))
        ask = ("--language_model", lm.parent, "--shards", self.data / "stills", "--out", answers)
        image, instructed = out / "image_captioner", out / "instructed"
        train_instructed = fit(["0b_image_captioner", "0c_instructions"], instructed)
        train_backbone = fit(["1b_alignment", "0d_audio_backbone"], out / "backbone")
        spread = avcap("dali calibrate", last(out / "backbone"), self.backbone, "--spread", "channels")
        return [
            self.step(texts, [], avcap("dali texts", "--out", texts)),
            self.step(lm, [texts], fit(["0a_language"], out / "language")),
            self.step(stills, [], avcap("dali stills", "--out", self.data / "stills")),
            self.step(answers, [lm, stills], avcap("dali instructions", *ask)),
            self.step(captions, [lm, stills], fit(["0b_image_captioner"], image), llava_of(image, captions.parent)),
            self.step(llava, [captions, answers], train_instructed, llava_of(instructed, llava.parent)),
            self.step(
                self.prefix,
                [llava],
                fit(["1a_prefix"], out / "prefix"),
                part_of_run(out / "prefix", "decoder.prefix", self.prefix),
            ),
            self.test("controls/image", 0, "image", [self.prefix]),
            self.step(self.backbone, [llava], train_backbone, spread),
        ]

    def row(self, objective: str, seed: int) -> list[Step]:
        """Return alignment, stage 2 and tests of one objective and seed."""
        folder = self.out / objective / str(seed)
        start = folder / AS_TRAINED / "encoder.safetensors"
        if objective == NONE:
            run = self.out / "backbone"
            commands: list[Command] = [("cp", str(self.backbone), str(start))]
        else:
            run = folder / "alignment"
            train = fit(["1b_alignment", f"objective/{objective}"], run, *of_seed(seed))
            commands = [train, part_of_run(run, "audio_encoder", start)]
        steps = [self.step(start, [self.backbone], *commands)]
        for tokens in self.tokens:
            encoder = folder / tokens / "encoder.safetensors"
            if tokens == CALIBRATED:
                steps.append(self.step(encoder, [start], avcap("dali calibrate", last(run), encoder)))
            steps += self.distillation(objective, seed, encoder, run / "figures" if tokens == self.tokens[0] else None)
        return steps

    def distillation(self, objective: str, seed: int, encoder: Path, figures: Path | None) -> list[Step]:
        """Return stage 2 from one encoder, and the tests before and after it; that of sound alone shows ``figures``."""
        folder, needs, given = encoder.parent, [encoder, self.prefix], (AUDIO_WEIGHTS, encoder)
        labels, projector = folder / "pseudo.jsonl", folder / "audio_projector.safetensors"
        # without an alignment every seed has the same encoder, which is tested once before stage 2
        before = ("audio", "both", "shuffled") if objective != NONE or seed == self.seeds[0] else ()
        label = (
            "--config",
            CONFIGS / "inference.yaml",
            "--trainer.default_root_dir",
            folder / "pseudo",
            "--out",
            labels,
        )
        learn = (*of_seed(seed), "--data.init_args.captions.path", labels, *given)
        distilled = ("--config", CONFIGS / "distilled.yaml", PROJECTOR_WEIGHTS, projector, *given)
        stage_2 = fit(["2_distillation"], folder / "distillation", *learn)
        name = f"{folder.name}/{objective}"
        return [
            *(
                self.test(
                    f"before_{name}_{what}", seed, what, needs, *given, figures=figures if what == "audio" else None
                )
                for what in before
            ),
            self.step(labels, needs, avcap("dali pseudo-label", *label, *given)),
            self.step(
                projector,
                [labels, *needs],
                stage_2,
                part_of_run(folder / "distillation", "fusion.audio_projector", projector),
            ),
            *(
                self.test(f"after_{name}_{what}", seed, what, [projector, *needs], *distilled)
                for what in ("audio", "both")
            ),
        ]

    @property
    def prefix(self) -> Path:
        """The prefix of stage 1a."""
        return self.out / "prefix.safetensors"

    @property
    def backbone(self) -> Path:
        """The audio encoder that alignment starts from."""
        return self.out / "backbone.safetensors"

    def test(
        self, name: str, seed: int, modality: str, needs: Sequence[Path], *options: object, figures: Path | None = None
    ) -> Step:
        """Return a test, given ``modality``; its folder shows the ``figures`` of an alignment."""
        folder = self.out / "results" / name / str(seed)
        configs = ("--config", CONFIGS / "inference.yaml", "--config", CONFIGS / f"modality/{modality}.yaml")
        commands = [avcap("test", *configs, *options, "--trainer.default_root_dir", folder)]
        if figures is not None:
            link = Path("../../../..", figures.relative_to(self.out))
            commands.insert(0, ("ln", "-sfn", str(link), str(folder / "figures")))
        return self.step(folder / "results.json", needs, *commands)

    def step(self, makes: Path, needs: Sequence[Path], *commands: Command) -> Step:
        """Return a step: the configs that its commands name count, and what they leave unfinished is cleared."""
        pairs = [(words[1], *pair) for words in commands for pair in pairwise(words)]
        configs = dict.fromkeys(Path(word) for _, option, word in pairs if option == "--config")
        clears = [
            Path(word) for verb, option, word in pairs if verb == "fit" and option == "--trainer.default_root_dir"
        ]
        clears += [Path(words[-1]) for words in commands if words[1:3] == ("dali", "captioner")]
        clears += [makes.with_name(f"{makes.name}.parts")]  # of pseudo-labels
        return Step(makes, commands, tuple(needs), tuple(configs), tuple(clears), self.out)


def avcap(verb: str, *words: object) -> Command:
    """Return a command of this program."""
    return ("avcap", *verb.split(), *map(str, words))


def fit(configs: Sequence[str], run: Path, *options: object) -> Command:
    """Return a training in the folder ``run``, which can resume."""
    named = [word for name in configs for word in ("--config", CONFIGS / f"{name}.yaml")]
    return avcap("fit", *named, *options, "--trainer.default_root_dir", run, "--ckpt_path", "last")


def part_of_run(run: Path, name: str, out: Path) -> Command:
    """Return the command that writes one component of what was trained in ``run``."""
    return avcap("weights part", last(run), name, out)


def llava_of(run: Path, out: Path) -> Command:
    """Return the command that writes the captioner of ``run`` as a LLaVA folder."""
    return avcap("dali captioner", run / "checkpoints/best.ckpt", out)


def last(run: Path) -> Path:
    """Return the last checkpoint of a run; of a run that was stopped it is there too."""
    return run / "checkpoints/last.ckpt"


def of_seed(seed: int) -> tuple[str, ...]:
    """Return the options that set all seeds of a training."""
    return ("--seed_everything", str(seed), "--data.init_args.seed", str(seed))
