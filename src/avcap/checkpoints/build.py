"""Build an object from the settings that a config or a checkpoint holds, by the types of its constructor."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints


def import_class(path: str) -> Callable[..., Any]:
    """Import a class or a function by its dotted path.

    Raises:
        ValueError: if there is no such module, or it has no such name.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no {path} ({error}); import the file that defines it, or train again.") from error


def build(settings: Mapping[str, Any], *, deferred: bool = False) -> Any:
    """Build ``{"class_path": "package.Class", "init_args": {...}}``.

    Nested settings are built first: a mapping with a ``class_path`` becomes an object of that class; a mapping where the
    constructor wants a dataclass or a named tuple becomes one; a text where it wants a ``Path`` becomes a path.

    Args:
        settings: Class and constructor arguments.
        deferred: Return a function that takes the missing positional arguments, in place of the object.

    Raises:
        ValueError: if a class cannot be imported, or does not take an argument.
    """
    target = import_class(settings["class_path"])
    arguments = _arguments(target, settings.get("init_args") or {})
    if deferred:
        return partial(target, **arguments)
    try:
        return target(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{settings['class_path']} cannot be built: {error}; train again with this version."
        ) from error


def _arguments(target: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    own = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]  # its own, no subclass's
    hints = get_type_hints(own)
    return {name: _value(value, hints.get(name, Any)) for name, value in values.items()}


def _value(value: Any, hint: Any) -> Any:
    """Convert a value of a config to the type that the constructor annotates."""
    if isinstance(value, Mapping) and "class_path" in value:
        return build(value)
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, list):
        inner = next((get_args(choice) for choice in choices if get_origin(choice) is list), ())
        return [_value(item, inner[0] if inner else Any) for item in value]
    if isinstance(value, Mapping):
        return next((choice(**_arguments(choice, value)) for choice in choices if _is_record(choice)), value)
    if isinstance(value, str) and Path in choices and str not in choices:
        return Path(value)
    return value


def _is_record(hint: Any) -> bool:
    """Return whether a class is a dataclass or a named tuple."""
    return isinstance(hint, type) and (hasattr(hint, "__dataclass_fields__") or hasattr(hint, "_fields"))
