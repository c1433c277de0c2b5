"""What is wrong with a command line or a config, in one sentence."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Collection, Iterator
from difflib import get_close_matches
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
_OPTION = re.compile(r"[Uu]nrecognized arguments?: (\S+)")
_IMPORT = re.compile(r"Expected a dot import path string: ?'?([\w.]+)")
_EXPECTED = re.compile(r"Expected an? <class '([\w.]+)'>")
_EXPECTED_OF = re.compile(r"Expected an? <class '([\w.]+)'>\. Got value")
_LITERAL = re.compile(r"Expected a typing\.Literal\[(.*?)\]")
_NESTED = re.compile(r"NestedArg\(key='([\w.]+)'")
_GIVEN = re.compile(r"Got value: (.*)|Given value: (?:NestedArg\(key='[\w.]+', val=)?(.*?)\)?$", re.MULTILINE)

_UNION = "Does not validate against any of the Union subtypes"
_EMPTY = "Cannot copy out of meta tensor"


class OneSentence(_Parser):
    """Mixin for a jsonargparse parser, which reports a wrong option or config in one sentence and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong and exit; parsers inside a parser raise instead, as before."""
        if not self.exit_on_error:
            super().error(message, ex)
        prog = getattr(ex, "subcommand_parser", self).prog.replace(" [options]", "")
        sentence = explain(message, options=list(_options(self)), names=self.class_names())
        sys.stderr.write(f"avcap: error: {sentence}\ntip: `{prog} --help` lists the options.\n")
        sys.exit(2)

    def class_names(self) -> Collection[str]:
        """Return the short names of the classes that a config can use."""
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
        option = found[1].split("=")[0]
        return f"there is no option {option}{_near(option, options)}"
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
    if found := _IMPORT.search(message):
        return f"{where} names no class {found[1]!r}{_near(found[1], names)}"
    if where and (found := _LITERAL.search(message)) and (given := _GIVEN.search(message)):
        return f"{where} must be one of {found[1]}, not {(given[1] or given[2]).strip()!r}."
    given, expected = _GIVEN.search(message), _EXPECTED_OF.findall(message) or _EXPECTED.findall(message)
    if where and given and expected:
        nested = _NESTED.search(message)
        if nested and not where.endswith(nested[1].rpartition(".")[2]):
            where = f"{where}.{nested[1]}"
        types = " or ".join("null" if name == "NoneType" else name for name in dict.fromkeys(expected))
        return f"{where} must be {types}, not {(given[1] or given[2]).strip().strip(chr(39))!r}."
    text = " ".join(message.replace("Parser key ", "").split())
    return text if text.endswith(".") else f"{text}."


def cause(error: BaseException) -> BaseException:
    """Return the cause of an error for which the library reports only a consequence.

    jsonargparse wraps what a constructor raises once for each argument that may be null as well; Lightning, tidying up after
    weights that could not be read, fails to move the empty ones.
    """
    while str(error).startswith(_UNION) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, NotImplementedError) and _EMPTY in str(error) and error.__context__ is not None:
        return cause(error.__context__)
    return error


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
