"""The `avcap` program: one table of verbs.

`fit`, `validate`, `test` and `predict` are LightningCLI; every other verb is a plain function whose signature and
docstring are its options and help (jsonargparse): one of the library with something that prints its result, or one of
`avcap.commands`. Functions are imported when they are called, so that a light verb starts quickly.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

LIGHTNING = {
    "fit": "train a system from a config",
    "validate": "losses and quick scores on the validation split",
    "test": "all scores on the test split, with predictions and assignment maps",
    "predict": "captions of a split to JSONL",
}
GROUPS = {
    "caption and measure": {
        "caption": ("avcap.commands.caption:caption", "caption video and audio files"),
        "score": ("avcap.commands.score:score", "score a file of captions against references"),
        "score human": ("avcap.commands.score:human", "the human bound: references against references"),
        "robustness": (
            "avcap.commands.robustness:robustness",
            "what a captioner loses if its audio or its video is corrupted",
        ),
        "maps": ("avcap.commands.maps:maps", "assignment maps measured against the true times of events"),
        "metrics list": (
            "avcap.commands.metrics:list_metrics",
            "metrics that are available here, and why others are not",
        ),
        "metrics download": ("avcap.commands.metrics:download", "fetch the models of SPICE and FENSE"),
    },
    "configs and this machine": {
        "check": ("avcap.commands.check:check", "check a config: shapes, parameters, memory; no weights, no GPU"),
        "list": ("avcap.commands.listing:list_components", "components that a config can name"),
        "doctor": ("avcap.commands.doctor:doctor", "what this machine has: Java, CUDA, versions, metrics"),
    },
    "data": {
        "data demo": ("avcap.commands.demo_data:demo", "make the embedded data set"),
        "data prepare": ("avcap.data.prepare:prepare", "media and captions -> shards"),
        "data verify": ("avcap.data.verify:verify", "check shards: counts, leaks between splits, unreadable files"),
        "data derive": ("avcap.commands.derive:derive", "run a front end or frozen encoders over all clips once, beside the shards"),
        "data features": ("avcap.commands.features:features", "run a frozen visual encoder over all clips once"),
    },
    "weights": {
        "weights import": ("avcap.commands.weights:import_", "official checkpoint -> avcap weights"),
        "weights export": ("avcap.commands.weights:export", "avcap weights -> official names"),
        "weights part": ("avcap.commands.weights:part", "one component of a run's checkpoint -> a file of its own"),
        "weights formats": ("avcap.commands.weights:formats", "checkpoint formats that can be imported"),
    },
    "compare runs": {
        "summary": ("avcap.commands.summary:summary", "the results table of a run, its files and the next commands"),
        "compare": ("avcap.commands.compare:compare", "runs side by side, by kind of scene"),
        "report": ("avcap.commands.report:report", "runs compared: an HTML page, Markdown, LaTeX and CSV"),
        "ablation run": ("avcap.commands.study:ablation", "all missing runs of an ablation matrix"),
        "ablation cell": ("avcap.commands.ablation:cell", "one cell of the ablation matrix: fit and test, unless done"),
        "ablation status": ("avcap.commands.ablation:status", "the status of the cells of an ablation matrix"),
    },
    "DALI": {
        "dali run": ("avcap.commands.study:dali", "all missing stages on the embedded data set, and a report"),
        "dali stills": ("avcap.commands.dali_stills:stills", "images for the demo's image captioner"),
        "dali texts": ("avcap.commands.dali_texts:write_texts", "texts for the demo's language model"),
        "dali captioner": (
            "avcap.commands.dali_captioner:write_captioner",
            "a trained image captioner -> LLaVA folder",
        ),
        "dali pseudo-label": ("avcap.commands.pseudo_label:pseudo_label", "a captioner's own captions of a split"),
        "dali instructions": ("avcap.commands.dali_instructions:instructions", "answers about the demo's images"),
        "dali calibrate": (
            "avcap.commands.dali_calibrate:calibrate",
            "aligned audio tokens -> the spread of image tokens",
        ),
        "dali probe": ("avcap.commands.dali_probe:probe", "how well aligned audio tokens predict images and sounds"),
    },
}
COMMANDS = {verb: row for verbs in GROUPS.values() for verb, row in verbs.items()}
PRINTERS = {  # verbs that are functions of the library -> what prints their result
    "data prepare": "avcap.commands.shards:print_prepared",
    "data verify": "avcap.commands.shards:print_verified",
}
CONFIGURED = ("check", "dali pseudo-label")  # verbs that take the options of fit, and read them themselves
EXPECTED = (ValueError, OSError, ImportError)  # what a user can put right; anything else is a fault of ours


def main(args: Sequence[str] | None = None) -> None:
    """Run the program; bad input ends in one sentence on stderr and exit status 1 (2 for a wrong option or config)."""
    argv = list(sys.argv[1:] if args is None else args)
    try:
        run(argv)
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        from avcap.explain import cause

        reason = cause(error)
        if not isinstance(reason, EXPECTED) or os.environ.get("AVCAP_DEBUG"):
            raise
        print(f"avcap: error: {_one_sentence(reason)}", file=sys.stderr)
        sys.exit(1)


def run(argv: list[str]) -> Any:
    """Run one command line; raise instead of exiting if the input is wrong."""
    if argv and argv[0] in LIGHTNING:
        from avcap.lightning_cli import build_cli

        return build_cli(argv)
    verb = next((v for v in (" ".join(argv[:2]), " ".join(argv[:1])) if v in COMMANDS), None)
    if verb is None:
        return _help(argv)
    function, rest = _import(COMMANDS[verb][0]), argv[len(verb.split()) :]
    if verb in CONFIGURED:
        return function(rest)
    result = call(function, rest, f"avcap {verb}")
    return _import(PRINTERS[verb])(result) if verb in PRINTERS else result


def _import(target: str) -> Callable:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def call(function: Callable, argv: Sequence[str], prog: str) -> Any:
    """Parse ``argv`` by the signature of ``function`` and call it."""
    positional, values = parse(function, argv, prog)
    return function(*positional, **values)


def parse(function: Callable, argv: Sequence[str], prog: str) -> tuple[list[Any], dict[str, Any]]:
    """Parse ``argv`` into the positional and named arguments of ``function``; its signature and docstring describe them.

    Parameters without a default are positional; one of type ``list[Path]`` takes one or more values; one that Python too
    takes by position only may be left out.
    """
    from jsonargparse import ArgumentParser

    from avcap.explain import OneSentence

    class Parser(OneSentence, ArgumentParser):
        """Parser that reports a wrong option in one sentence."""

    signature = inspect.signature(function)
    parser = Parser(prog=prog, description=(inspect.getdoc(function) or "").split("\n")[0], allow_abbrev=False)
    many = [n for n, p in signature.parameters.items() if p.default is p.empty and "list[Path]" in str(p.annotation)]
    for name in many:
        parser.add_argument(name, nargs="+", type=Path, help="one or more files")
    optional = [n for n, p in signature.parameters.items() if p.kind is p.POSITIONAL_ONLY]
    for name in optional:
        default = signature.parameters[name].default
        parser.add_argument(
            name, nargs="?", type=get_type_hints(function)[name], default=default, help=f"default: {default}"
        )
    parser.add_function_arguments(function, skip={*many, *optional}, as_positional=True)
    switches = {f"--{n}" for n, p in signature.parameters.items() if "bool" in str(p.annotation)}
    config = parser.instantiate(parser.parse_args(_say_true(argv, switches)))
    values = config.as_dict()
    return [values.pop(name) for name in optional], values


def _say_true(argv: Sequence[str], switches: set[str]) -> list[str]:
    """Let ``--json`` stand for ``--json true``."""
    said = []
    for word, after in zip(argv, [*argv[1:], ""], strict=False):
        said.append(word)
        if word in switches and after.lower() not in ("true", "false"):
            said.append("true")
    return said


def _help(argv: Sequence[str]) -> None:
    """Print the verbs in groups, or those that begin with the word that is asked; another word is an error."""
    if argv and argv[0] == "--version":
        from avcap import __version__

        print(f"avcap {__version__}")
        return
    asked = argv[0] if argv and not argv[0].startswith("-") else ""
    groups = {
        "train": LIGHTNING,
        **{name: {v: text for v, (_, text) in verbs.items()} for name, verbs in GROUPS.items()},
    }
    mine = {verb: text for verbs in groups.values() for verb, text in verbs.items() if verb.split()[0] == asked}
    lines = ["usage: avcap VERB [options]      (avcap VERB --help for the options of one)"]
    for name, verbs in ({asked: mine} if mine else groups).items():
        lines += ["", f"{name}:", *(f"  {verb:<18}{text}" for verb, text in verbs.items())]
    if asked and not mine:
        print("\n".join(lines), file=sys.stderr)
        print(f"\navcap: error: there is no verb {asked!r}.", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))


def _one_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
