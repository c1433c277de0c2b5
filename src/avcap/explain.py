"""What is wrong with a command line or a config, in one sentence."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser as _Parser
else:
    _Parser = object

from jsonargparse import ArgumentParser

_KEY = re.compile(r'Parser key "([\w.]+)"')
_CLASS = re.compile(r"class_path(?:=| )'([\w.]+)'")
_SETTING = re.compile(r"Option '([^']+)' is not accepted")
_KEY_OF_CONFIG = re.compile(r"does not accept option '([^']+)'|[Kk]ey '([^']+)' is not expected")
_REQUIRED = re.compile(r"class_path '([\w.]+)':\s+the following arguments are required: ([\w, ]+)")
_ABSENT = re.compile(r"^the following arguments are required: (.+)")
_VALUE = re.compile(r"argument (?:-\w/)?(--[\w.]+): expected (?:one|at least one) argument")
_OPTION = re.compile(r"[Uu]nrecognized arguments?: (\S+)")
_IMPORT = re.compile(r"Expected a dot import path string: ?'?([\w.]+)")
_UNREADABLE = re.compile(r"Unable to load config ['\"](.+?)['\"]")
_MODULE = re.compile(r"Problem with given class_path '([\w.]+)':\s+(No module named .*|.* has no attribute .*)")
_SEVERAL = re.compile(r"Multiple subclasses with name (\w+)\. Give the full class path to avoid ambiguity: (.+)\.\s")
_EXPECTED = re.compile(r"Expected an? <class '([\w.]+)'>")
_EXPECTED_OF = re.compile(r"Expected an? <class '([\w.]+)'>\. Got value")
_LITERAL = re.compile(r"Expected a typing\.Literal\[(.*?)\]")
_NESTED = re.compile(r"NestedArg\(key='([\w.]+)'")
_GIVEN = re.compile(
    r"Got value: (.*?)(?:\. Got value: Namespace.*)?$"
    r"|Given value: (?:NestedArg\(key='[\w.]+', val=)?(.*?)\)?(?:\. Got value: Namespace.*)?$",
    re.MULTILINE,
)
_TYPES = {"NoneType": "null", "list": "a list such as [a,b]", "dict": "a mapping", "torch.Tensor": ""}
_ALWAYS = {"-h", "--help", "--print_shtab", "--print_config", "--print_completion"}

SYNONYMS = {
    "epochs": "max_epochs",
    "steps": "max_steps",
    "learning_rate": "lr",
    "gpus": "devices",
    "workers": "num_workers",
    "beams": "num_beams",
    "bs": "batch_size",
    "seed": "seed_everything",
    "ckpt": "ckpt_path",
    "checkpoint": "ckpt_path",
    "resume": "ckpt_path",
    "output": "out",
    "output_dir": "default_root_dir",
    "root_dir": "default_root_dir",
}
"""What people call an option -> the last part of its name here."""


class OneSentence(_Parser):
    """Mixin for a jsonargparse parser, which reports a wrong option or config in one sentence and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong and exit; parsers inside a parser raise instead, as before."""
        if not self.exit_on_error:
            super().error(message, ex)
        prog = getattr(ex, "subcommand_parser", self).prog.replace(" [options]", "")
        options = [*_options(self), *self.options_of_classes()]
        sentence = explain(message, options=options, names=self.class_names())
        sys.stderr.write(f"avcap: error: {sentence}\ntip: `{prog} --help` lists the options.\n")
        sys.exit(2)

    def class_names(self) -> Collection[str]:
        """Return the short names of the classes that a config can use."""
        return ()

    def options_of_classes(self) -> Collection[str]:
        """Return the options that exist only once a class is named (``--data.batch_size``)."""
        return ()


def _options(parser: Any) -> Iterator[str]:
    """Return the options of a parser and of its subcommands."""
    for action in parser._actions:
        yield from action.option_strings
        for child in dict.fromkeys((getattr(action, "_name_parser_map", None) or {}).values()):
            yield from _options(child)


def explain(message: str, *, options: Collection[str] = (), names: Collection[str] = ()) -> str:
    """Reduce a message of jsonargparse to one sentence: the key, what was given, and the nearest known names.

    Args:
        message: The message of jsonargparse, with many lines if a value may have several types.
        options: The options of the command (``--trainer.max_epochs``).
        names: The short class names that a config can use.

    Returns:
        One line; the message itself on one line where it is of a kind not known here.
    """
    where = ".init_args.".join(dict.fromkeys(_KEY.findall(message)))
    if found := _OPTION.search(message):
        return _no_option(found[1].split("=")[0], options)
    if found := _VALUE.search(message):
        return f"{found[1]} needs a value; one that begins with - is given as {found[1]}=VALUE."
    if found := _ABSENT.search(message):
        hint = "" if "--config" in options else "; a name that begins with - is given as ./-NAME, or after --"
        return f"{found[1]} must be given{hint}."
    if found := _SETTING.search(message):
        owner = ([""] + _CLASS.findall(message))[-1]
        name = f"{where} ({owner.rsplit('.', 1)[-1]})" if where else owner.rsplit(".", 1)[-1]
        return f"{name} has no setting {found[1]!r}{_near(found[1], _arguments(owner))}"
    if found := _REQUIRED.search(message):
        return f"{where} ({found[1].rsplit('.', 1)[-1]}) needs {found[2]}, which the config does not give."
    if found := _KEY_OF_CONFIG.search(message):
        key = found[1] or found[2]
        known = {option.removeprefix("--") for option in options}
        return f"the config has no key {key!r}{_near(key, known | {k.split('.')[0] for k in known})}"
    if found := _SEVERAL.search(f"{message}\n"):
        return f"{where}: {found[1]} may be {' or '.join(found[2].split(', '))}; write the one that you mean."
    inner = _of_innermost_key(message)
    nested, given = _NESTED.search(inner), _GIVEN.search(inner) or _GIVEN.search(message)
    if where and nested and not where.endswith(nested[1].rpartition(".")[2]):
        where = f"{where}.{nested[1]}"
    if found := _UNREADABLE.search(message):
        return f"{where or 'config'} wants settings or a file that holds some, and {found[1]!r} is neither."
    inner = inner.partition("Given value type")[0]
    expected = _EXPECTED_OF.findall(inner) or _EXPECTED.findall(inner)
    types = [_TYPES.get(name, name.rpartition(".")[2]) for name in dict.fromkeys(expected)]
    if "Not of type Path" in inner:
        types = ["a path"]
    if where and (found := _MODULE.search(inner)):
        own = "`--import FILE.py` imports a module of your own"
        return f"{where} names no class {found[1]!r} ({found[2].strip()}); {own}."
    if (found := _IMPORT.search(inner)) and not set(types) & {"int", "float", "bool", "str"}:
        return f"{where} names no class {found[1]!r}{_near(found[1], names)}"
    if where and given:
        value = (given[1] if given[1] is not None else given[2] or "").strip().strip("'")
        if words := _LITERAL.findall(inner):
            allowed = {word.strip("'"): word for group in words for word in group.split(", ")}
            types = [", ".join(allowed.values()), *(name for name in types if name != "null")]
            return f"{where} must be one of {' or '.join(types)}, not {value!r}."
        if types == ["null"]:  # what a class is expected for
            types = ["the name of a class, or a mapping with class_path", "null"]
        if types := [name for name in types if name]:
            return f"{where} must be {' or '.join(types)}, not {value!r}."
    text = " ".join(message.replace("Parser key ", "").split())
    return text if text.endswith(".") else f"{text}."


def _of_innermost_key(message: str) -> str:
    """Return what is said of the innermost key: the lines below it, until one that stands further to the left."""
    last = [*_KEY.finditer(message)][-1:]
    if not last:
        return message
    line = message[message.rfind("\n", 0, last[0].start()) + 1 :]
    depth = len(line) - len(line.lstrip())
    below = message[last[0].end() :].split("\n")
    ends = (n for n, text in enumerate(below) if n and text.strip() and len(text) - len(text.lstrip()) < depth)
    return "\n".join(below[: next(ends, None)])


def _no_option(option: str, options: Collection[str]) -> str:
    """Return what to do about a word that is no option: a longer name, a file name, or one argument too many."""
    if not option.startswith("-"):
        return f"{option!r} is one argument too many."
    if (Path(option).suffix and "." not in option[:2] and not option.startswith("--")) or Path(option).exists():
        return f"there is no option {option}; for a file of that name write ./{option}, or put -- before it."
    name = option.lstrip("-")
    last = (name, SYNONYMS.get(name, name))
    same = [known for known in dict.fromkeys(options) if known.rpartition(".")[2].lstrip("-") in last]
    if same:
        return f"there is no option {option}; did you mean {' or '.join(same[:3])}?"
    return f"there is no option {option}{_near(option, set(options) - _ALWAYS)}"


def _near(word: str, known: Collection[str]) -> str:
    """Return the end of an error message: the known names most like ``word``, or all of them if they are few."""
    near = get_close_matches(word, known, n=2, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; it takes {', '.join(sorted(known))}." if 0 < len(known) <= 15 else "."


def _arguments(path: str) -> list[str]:
    """Return the names of the constructor arguments of the class at a dotted path, those behind ``**`` included."""
    module, _, name = path.rpartition(".")
    if not module:
        return []
    target = getattr(importlib.import_module(module), name, None)
    if not inspect.isclass(target):
        return [] if target is None else list(inspect.signature(target).parameters)
    found = ArgumentParser().add_class_arguments(target, fail_untyped=False)
    return list(dict.fromkeys(name.partition(".")[0] for name in found))
