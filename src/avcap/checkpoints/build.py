"""Build an object from the settings that a config or a checkpoint holds, by the types of its constructor."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn

from avcap.components import components
from avcap.frontends.base import FrontEnd

NN = "torch.nn"


def find_class(path: str) -> type[Any]:
    """Find a class that a checkpoint names; only modules of avcap are imported.

    Raises:
        ValueError: if the class is neither avcap's, nor of ``torch.nn``, nor in a module that is imported already; if there is
            no such name; or if it is no part of a model.
    """
    module, _, name = str(path).rpartition(".")
    if not module:
        return _find_short(name)
    own = module.partition(".")[0] == "avcap"
    if not own and (module not in sys.modules or (module.partition(".")[0] == "torch" and not module.startswith(NN))):
        raise ValueError(
            f"A checkpoint names the class {path}, which is not avcap's, and it was not imported; where you trust it, import "
            f"its module yourself: `--import {module or path}`, or `import {module or path}` in Python."
        )
    try:
        target = getattr(importlib.import_module(module) if own else sys.modules[module], name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"There is no {path} ({error}); import the file that defines it, or train again.") from error
    if not (isinstance(target, type) and issubclass(target, nn.Module | FrontEnd)):
        raise ValueError(f"{path} is no part of a model; the checkpoint that names it is damaged.")
    return target


def _find_short(name: str) -> type[Any]:
    """Find a part of a model by its name alone, as a config gives it: one of avcap's, else one that is imported."""
    found = [kind for kind in components(nn.Module, FrontEnd) if kind.__name__ == name]
    found = [kind for kind in found if kind.__module__.startswith("avcap.")] or found
    if len(found) != 1:
        what = "There is no part" if not found else f"There are {len(found)} parts"
        raise ValueError(f"{what} {name}; `avcap list` shows those that there are.")
    return found[0]


def build(settings: Any, *, kind: type[Any] = object, deferred: bool = False) -> Any:
    """Build ``{"class_path": "package.Class", "init_args": {...}}``.

    Nested settings are built first: a mapping with a ``class_path`` becomes an object of that class; a mapping where the
    constructor wants a dataclass or a named tuple becomes one; a text where it wants a ``Path`` becomes a path.

    Args:
        settings: Class and constructor arguments.
        kind: What the class must be a subclass of.
        deferred: Return a function that takes the missing positional arguments, in place of the object.

    Raises:
        ValueError: if the settings are of another form, a class may not be imported, is none of ``kind``, or does not take an
            argument.
    """
    if (
        not isinstance(settings, Mapping)
        or not isinstance(settings.get("init_args") or {}, Mapping)
        or not isinstance(settings.get("class_path"), str)
    ):
        raise ValueError(f"A checkpoint has {settings!r:.60} in the place of a {kind.__name__}; it is damaged.")
    target = find_class(settings["class_path"])
    if not issubclass(target, kind):
        raise ValueError(f"A checkpoint has a {target.__name__} in the place of a {kind.__name__}; it is damaged.")
    make = partial(_make, target, settings.get("init_args") or {})
    return make if deferred else make()


def _make(target: type[Any], arguments: Mapping[str, Any], *widths: Any) -> Any:
    try:
        return target(*widths, **_arguments(target, arguments))
    except (TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{target.__name__} cannot be built: {reason}; put its settings right, or train again with this version."
        ) from error


def _arguments(target: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(target.__init__)
    return {name: _value(value, hints.get(name, Any)) for name, value in values.items()}


def _value(value: Any, hint: Any) -> Any:
    """Convert a value of a config to the type that the constructor annotates."""
    choices: tuple[Any, ...] = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, Mapping) and "class_path" in value:
        return build(value, deferred=any(get_origin(choice) is Callable for choice in choices))
    if isinstance(value, list):
        inner = next((get_args(choice) for choice in choices if get_origin(choice) is list), ())
        return [_value(item, inner[0] if inner else Any) for item in value]
    if isinstance(value, Mapping):
        return next((choice(**_arguments(choice, value)) for choice in choices if _is_record(choice)), value)
    named = [choice for choice in choices if get_origin(choice) is Literal]
    if named and isinstance(value, str) and len(choices) - len(named) <= (type(None) in choices):
        allowed = [word for choice in named for word in get_args(choice)]
        if value not in allowed:
            raise ValueError(f"A checkpoint has {value!r} where only {', '.join(map(str, allowed))} can stand.")
    if isinstance(value, str) and Path in choices and str not in choices:
        return Path(value)
    return value


def _is_record(hint: Any) -> bool:
    """Return whether a class is a dataclass or a named tuple."""
    return isinstance(hint, type) and (hasattr(hint, "__dataclass_fields__") or hasattr(hint, "_fields"))
