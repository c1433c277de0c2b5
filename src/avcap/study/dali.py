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
        out, data = self.out, self.data
        texts, stills, answers = data / "texts.jsonl", data / "stills/train/info.json", out / "instructions.jsonl"
        lm, captions, llava = (out / name / "model.safetensors" for name in ("language/lm", "llava_captions", "llava"))
        prefix, backbone = self.prefix, self.backbone
        audio = ["1b_alignment", "0d_audio_backbone"]
        return [
            self.step(texts, avcap("dali texts", "--out", texts)),
            self.step(lm, fit(["0a_language"], out / "language"), needs=[texts], clears=[out / "language"]),
            self.step(stills, avcap("dali stills", "--out", data / "stills")),
            self.step(
                answers,
                avcap(
                    "dali instructions", "--language_model", lm.parent, "--shards", data / "stills", "--out", answers
                ),
                needs=[lm, stills],
            ),
            self.step(
                captions,
                fit(["0b_image_captioner"], out / "image_captioner"),
                avcap("dali captioner", out / "image_captioner/checkpoints/best.ckpt", captions.parent),
                needs=[lm, stills],
                clears=[out / "image_captioner", captions.parent],
            ),
            self.step(
                llava,
                fit(["0b_image_captioner", "0c_instructions"], out / "instructed"),
                avcap("dali captioner", out / "instructed/checkpoints/best.ckpt", llava.parent),
                needs=[captions, answers],
                clears=[out / "instructed", llava.parent],
            ),
            self.step(
                prefix,
                fit(["1a_prefix"], out / "prefix"),
                part(out / "prefix", "decoder.prefix", prefix),
                needs=[llava],
                clears=[out / "prefix"],
            ),
            self.test("controls", "image", 0, "image", needs=[prefix]),
            self.step(
                backbone,
                fit(audio, out / "backbone"),
                avcap("dali calibrate", last(out / "backbone"), backbone, "--spread", "channels"),
                needs=[llava],
                clears=[out / "backbone"],
            ),
        ]

    def row(self, objective: str, seed: int) -> list[Step]:
        """Return alignment, stage 2 and tests of one objective and seed."""
        folder = self.out / objective / str(seed)
        start = folder / AS_TRAINED / "encoder.safetensors"
        run = self.out / "backbone" if objective == NONE else folder / "alignment"
        if objective == NONE:
            steps = [self.step(start, ("cp", str(self.backbone), str(start)), needs=[self.backbone])]
        else:
            configs = ["1b_alignment", f"objective/{objective}"]
            train = fit(configs, run, *of_seed(seed)), part(run, "audio_encoder", start)
            steps = [self.step(start, *train, needs=[self.backbone], clears=[run])]
        for tokens in self.tokens:
            encoder = folder / tokens / "encoder.safetensors"
            if tokens == CALIBRATED:
                steps.append(self.step(encoder, avcap("dali calibrate", last(run), encoder), needs=[start]))
            steps += self.distillation(objective, seed, tokens, encoder, run)
        return steps

    def distillation(self, objective: str, seed: int, tokens: str, encoder: Path, run: Path) -> list[Step]:
        """Return stage 2 from one encoder, and the tests before and after it."""
        folder = encoder.parent
        labels, projector = folder / "pseudo.jsonl", folder / "audio_projector.safetensors"
        given, needs = (AUDIO_WEIGHTS, encoder), [encoder, self.prefix]
        figures = run / "figures" if tokens == self.tokens[0] else None
        # without an alignment every seed has the same encoder, which is tested once before stage 2
        before = ("audio", "both", "shuffled") if objective != NONE or seed == self.seeds[0] else ()
        distilled = (
            "--config",
            CONFIGS / "distilled.yaml",
            "--model.init_args.fusion.init_args.pretrained_audio",
            projector,
        )
        label = (
            "--config",
            CONFIGS / "inference.yaml",
            "--trainer.default_root_dir",
            folder / "pseudo",
            "--out",
            labels,
        )
        return [
            *(
                self.test(
                    f"before_{tokens}",
                    f"{objective}_{what}",
                    seed,
                    what,
                    *given,
                    needs=needs,
                    figures=figures if what == "audio" else None,
                )
                for what in before
            ),
            self.step(
                labels,
                avcap("dali pseudo-label", *label, *given),
                needs=needs,
                clears=[folder / "pseudo", labels.with_name(f"{labels.name}.parts")],
            ),
            self.step(
                projector,
                fit(
                    ["2_distillation"],
                    folder / "distillation",
                    *of_seed(seed),
                    *("--data.init_args.captions", labels),
                    *given,
                ),
                part(folder / "distillation", "fusion.audio_projector", projector),
                needs=[labels, *needs],
                clears=[folder / "distillation"],
            ),
            *(
                self.test(
                    f"after_{tokens}", f"{objective}_{what}", seed, what, *distilled, *given, needs=[projector, *needs]
                )
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
        self,
        axis: str,
        variant: str,
        seed: int,
        modality: str,
        *options: object,
        needs: Sequence[Path],
        figures: Path | None = None,
    ) -> Step:
        """Return a test, given ``modality``; its folder shows the ``figures`` of the alignment."""
        folder = self.out / "results" / axis / variant / str(seed)
        configs = ("--config", CONFIGS / "inference.yaml", "--config", CONFIGS / f"modality/{modality}.yaml")
        commands = [avcap("test", *configs, *options, "--trainer.default_root_dir", folder)]
        if figures is not None:
            link = Path("../../../..", figures.relative_to(self.out))
            commands.append(("ln", "-sfn", str(link), str(folder / "figures")))
        return self.step(folder / "results.json", *commands, needs=needs)

    def step(self, makes: Path, *commands: Command, needs: Sequence[Path] = (), clears: Sequence[Path] = ()) -> Step:
        """Return a step that reads the configs which its commands name."""
        pairs = [pair for words in commands for pair in pairwise(words)]
        configs = dict.fromkeys(Path(word) for option, word in pairs if option == "--config")
        return Step(makes, commands, tuple(needs), tuple(configs), tuple(clears), self.out)


def avcap(verb: str, *words: object) -> Command:
    """Return a command of this program."""
    return ("avcap", *verb.split(), *map(str, words))


def fit(configs: Sequence[str], run: Path, *options: object) -> Command:
    """Return a training in the folder ``run``, which goes on where it was stopped."""
    named = [word for name in configs for word in ("--config", CONFIGS / f"{name}.yaml")]
    return avcap("fit", *named, *options, "--trainer.default_root_dir", run, "--ckpt_path", "last")


def part(run: Path, name: str, out: Path) -> Command:
    """Return the command that writes one component of what was trained in ``run``."""
    return avcap("weights part", last(run), name, out)


def last(run: Path) -> Path:
    """Return the last checkpoint of a run; of a run that was stopped it is there too."""
    return run / "checkpoints/last.ckpt"


def of_seed(seed: int) -> tuple[str, ...]:
    """Return the options that set all seeds of a training."""
    return ("--seed_everything", str(seed), "--data.init_args.seed", str(seed))
