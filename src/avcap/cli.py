"""The `avcap` program: one table of verbs.

`fit`, `validate`, `test` and `predict` are LightningCLI; every other verb is a plain function whose signature and
docstring are its options and help (jsonargparse): one of the library with something that prints its result, or one of
`avcap.commands`. Functions are imported when they are called, so that a light verb starts quickly.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, get_args, get_type_hints

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
        "check": (
            "avcap.commands.check:check",
            "check a config: shapes, parameters, memory; --ready: what a run lacks",
        ),
        "list": ("avcap.commands.listing:list_components", "components that a config can name"),
        "doctor": ("avcap.commands.doctor:doctor", "what this machine has: Java, CUDA, versions, metrics"),
    },
    "data": {
        "data demo": ("avcap.scenes.dataset:build_dataset", "make the embedded data set"),
        "data prepare": ("avcap.shards.prepare:prepare", "media and captions -> shards"),
        "data look": ("avcap.commands.look:look", "what a model will hear and see of a file"),
        "data merge": ("avcap.shards.prepare:merge", "join shards that several processes made in parts"),
        "data verify": ("avcap.shards.verify:verify", "check shards: counts, leaks between splits, unreadable files"),
        "data derive": (
            "avcap.commands.derive:derive",
            "run a front end or frozen encoders over all clips once, beside the shards",
        ),
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
        "reproduce": ("avcap.commands.reproduce:reproduce", "a paper's table, from the authors' files and AudioCaps"),
        "ablation cell": ("avcap.commands.study:cell", "one cell of the ablation matrix: fit and test, unless done"),
    },
    "drills": {
        "drill prepare": ("avcap.commands.drill:drill_prepare", "kill the making of shards; nothing may be lost"),
        "drill train": ("avcap.commands.drill:drill_train", "kill a training run; nothing may be lost"),
        "drill resume": ("avcap.commands.drill:drill_resume", "stop a run of two processes by SIGTERM, and go on"),
    },
    "DALI": {
        "dali run": ("avcap.commands.study:dali", "all missing stages on the embedded data set, and a report"),
        "dali stills": ("avcap.scenes.stills:write_stills", "images for the demo's image captioner"),
        "dali texts": ("avcap.scenes.texts:write_texts", "texts for the demo's language model"),
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
    "data merge": "avcap.commands.shards:print_prepared",
    "data verify": "avcap.commands.shards:print_verified",
    "dali stills": "avcap.commands.dali_stills:print_stills",
    "dali texts": "builtins:print",
}
CONFIGURED = ("check", "dali pseudo-label")  # verbs that take the options of fit, and read them themselves
_SHORT = re.compile(r"-(?!h$)[^-.\d].*")  # no verb has such options: it is the name of a file
WANTED = {
    "train": "fit",
    "evaluate": "test",
    "eval": "test",
    "infer": "caption",
    "inference": "caption",
    "label": "dali pseudo-label",
}
IMPORT = "--import"  # before or after any verb: a module, or a .py file, whose classes a config or a checkpoint names


def main(args: Sequence[str] | None = None) -> None:
    """Run the program; bad input ends in one sentence on stderr and exit status 1 (2 for a wrong option or config)."""
    argv = list(sys.argv[1:] if args is None else args)
    try:
        run(argv)
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        if os.environ.get("AVCAP_DEBUG"):
            raise
        print("avcap: stopped.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        from avcap.foreign import sentence

        said = sentence(error)
        if said is None or os.environ.get("AVCAP_DEBUG"):
            raise
        print(f"avcap: error: {said}", file=sys.stderr)
        sys.exit(1)


def run(argv: list[str]) -> Any:
    """Run one command line; raise instead of exiting if the input is wrong."""
    argv = _import_named(argv)
    if argv and argv[0] in LIGHTNING:
        from avcap.lightning_cli import build_cli

        _find_own_modules()
        return build_cli(argv)
    verb = next((v for v in (" ".join(argv[:2]), " ".join(argv[:1])) if v in COMMANDS), None)
    if verb is None:
        return _help(argv)
    rest = argv[len(verb.split()) :]
    if {"-h", "--help"} & set(rest):
        sys.modules.setdefault("torch", _Deferred("torch"))
    function = _import(COMMANDS[verb][0])
    if verb in CONFIGURED:
        _find_own_modules()
        return function(rest)
    result = call(function, rest, f"avcap {verb}")
    return _import(PRINTERS[verb])(result) if verb in PRINTERS else result


class _Deferred(ModuleType):
    """A module that takes a second to import, imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name == "__args__":  # jsonargparse looks for it to tell type hints
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _import(target: str) -> Callable:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _import_named(argv: list[str]) -> list[str]:
    """Import the modules that ``--import`` names, and return the command line without them.

    Raises:
        ValueError: if no module is named.
        ImportError: if there is no such module, or it cannot be imported.
    """
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*rest, word, *words]
        if word != IMPORT and not word.startswith(f"{IMPORT}="):
            rest.append(word)
            continue
        name = next(words, "") if word == IMPORT else word.partition("=")[2]
        if not name or name.startswith("-"):
            raise ValueError(f"{IMPORT} needs the name of a module, or a .py file.")
        _import_module(name)
    return rest


def _import_module(name: str) -> None:
    """Import a module by its name, also from the current folder, or a file by its path, under the name of the file."""
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise ImportError(f"{IMPORT}: there is no file {path}.")
        name, folder = path.stem, str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.append(folder)  # last, so that no file there stands for a library
    else:
        _find_own_modules()
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ImportError(f"{IMPORT} {name}: {type(error).__name__}: {error}") from error
    found = getattr(sys.modules[name], "__file__", None)
    if path.suffix == ".py" and (found is None or not path.samefile(found)):
        raise ImportError(f"{IMPORT}: a module {name} is known already ({found}); give {path} another name.")


def _find_own_modules() -> None:
    """Let a config of the user name modules of the current folder; these come after all that are installed."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def call(function: Callable, argv: Sequence[str], prog: str) -> Any:
    """Parse ``argv`` by the signature of ``function`` and call it."""
    positional, values = parse(function, argv, prog)
    return function(*positional, **values)


def parse(function: Callable, argv: Sequence[str], prog: str) -> tuple[list[Any], dict[str, Any]]:
    """Parse ``argv`` into the positional and named arguments of ``function``; its signature and docstring describe them.

    Parameters without a default are positional; one of type ``list[Path]`` takes one or more values; one that Python too
    takes by position only may be left out. A named one of type ``list[Path]`` may be given several times.
    """
    from docstring_parser import parse as parse_docstring
    from jsonargparse import ArgumentParser

    from avcap.explain import OneSentence
    from avcap.options import join_repeated

    class Parser(OneSentence, ArgumentParser):
        """Parser that reports a wrong option in one sentence."""

        def class_names(self) -> list[str]:
            from avcap.components import components

            return [found.__name__ for found in components(*_classes(hints.values()))]

    # resolved here, since jsonargparse would import what a module imports for type checkers alone, which takes seconds
    hints = function.__annotations__ = get_type_hints(function)
    signature = inspect.signature(function)
    parser = Parser(prog=prog, description=(inspect.getdoc(function) or "").split("\n")[0], allow_abbrev=False)
    paths = [n for n in signature.parameters if hints[n] == list[Path]]
    many = [n for n in paths if signature.parameters[n].default is signature.parameters[n].empty]
    told = parse_docstring(inspect.getdoc(function) or "")
    said = {found.arg_name: found.description for found in told.params}
    for name in many:
        parser.add_argument(name, nargs="+", type=Path, help=said.get(name) or "one or more paths")
    repeated = [n for n in paths if n not in many]
    for name in repeated:
        parser.add_argument(f"--{name}", nargs="+", type=Path, default=[], help=said.get(name))
    optional = [n for n, p in signature.parameters.items() if p.kind is p.POSITIONAL_ONLY]
    for name in optional:
        default = signature.parameters[name].default
        parser.add_argument(name, nargs="?", type=hints[name], default=default, help=f"default: {default}")
    parser.add_function_arguments(function, skip={*many, *repeated, *optional}, as_positional=True)
    switches = {f"--{n}" for n, p in signature.parameters.items() if "bool" in str(p.annotation)}
    if wrong := next((word for word in _before(argv, "--") if _SHORT.fullmatch(word)), None):
        parser.error(f"unrecognized arguments: {wrong}")
    config = parser.instantiate(
        parser.parse_args(join_repeated(_say_true(argv, switches), {f"--{n}" for n in repeated}))
    )
    values = config.as_dict()
    return [values.pop(name) for name in optional], values


def _classes(hints: Iterable[Any]) -> Iterator[type]:
    """Yield the classes of avcap in type hints, those inside others too."""
    for hint in hints:
        if isinstance(hint, type) and hint.__module__.startswith("avcap."):
            yield hint
        yield from _classes(get_args(hint))


def _say_true(argv: Sequence[str], switches: set[str]) -> list[str]:
    """Let ``--json`` stand for ``--json true``, and ``--num-shards`` for ``--num_shards``."""
    said = []
    options = len(_before(argv, "--"))
    for place, (word, after) in enumerate(zip(argv, [*argv[1:], ""], strict=False)):
        if word.startswith("--") and place < options:
            name, equals, value = word.partition("=")
            word = f"--{name[2:].replace('-', '_')}{equals}{value}"
        said.append(word)
        if word in switches and after.lower() not in ("true", "false"):
            said.append("true")
    return said


def _before(words: Sequence[str], end: str) -> Sequence[str]:
    return words[: words.index(end)] if end in words else words


def _help(argv: Sequence[str]) -> None:
    """Print the verbs in groups, or those that begin with the word that is asked; another word is an error."""
    if argv and argv[0] == "--version":
        from avcap import __version__

        print(f"avcap {__version__}")
        return
    asked = [word for word in argv[:2] if word not in ("-h", "--help")]
    groups = {
        "train": LIGHTNING,
        **{name: {v: text for v, (_, text) in verbs.items()} for name, verbs in GROUPS.items()},
    }
    every = {verb: text for verbs in groups.values() for verb, text in verbs.items()}
    mine = {verb: text for verb, text in every.items() if asked and verb.split()[0] == asked[0]}
    if len(asked) > 1 or (asked and not mine):
        group = next(iter(asked), "") if mine else ""
        _refuse(" ".join(asked) if mine else asked[0], list(mine or every), group)
    lines = ["usage: avcap VERB [options]      (avcap VERB --help for the options of one)"]
    lines.append(f"       {IMPORT} MODULE, with any verb, imports a module or a .py file of your own first")
    for name, verbs in ({asked[0]: mine} if asked else groups).items():
        lines += ["", f"{name}:", *(f"  {verb:<18}{text}" for verb, text in verbs.items())]
    print("\n".join(lines))


def _refuse(verb: str, known: list[str], group: str) -> NoReturn:
    """Say which verb is like the one that is asked, and exit with status 2."""
    from difflib import get_close_matches

    if verb.startswith("-"):
        said = f"{verb} stands before the verb; write `avcap VERB {verb}`."
    else:
        near = [WANTED[verb]] if verb in WANTED else get_close_matches(verb, known, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}." if group else "."
        said = f"there is no verb {verb!r}{hint}"
    print(f"avcap: error: {said}\ntip: `avcap {group + ' ' if group else ''}--help` lists the verbs.", file=sys.stderr)
    sys.exit(2)


warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
