"""Config files: YAML mappings, one of which may extend another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from avcap.mappings import read_yaml

EXTENDS = "extends"


def whole_config(path: Path) -> dict[str, Any]:
    """Read a config with all that it extends.

    Raises:
        FileNotFoundError: if it, or what it extends, is not there.
        ValueError: if one is no YAML mapping, or extends itself.
    """
    return _read(path, ())


def layered_configs(paths: Sequence[Path]) -> dict[str, Any]:
    """Read configs with all that they extend, each laid over those before it.

    Raises:
        FileNotFoundError: if one, or what it extends, is not there.
        ValueError: if one is no YAML mapping, or extends itself.
    """
    return reduce(_merged, (whole_config(path) for path in paths), {})


def extended(document: dict[str, Any], folder: Path, *above: Path) -> dict[str, Any]:
    """Return a config laid over the one that it extends, as named from its ``folder``.

    Mappings are merged key by key, all else is replaced; so is a part of another ``class_path``.

    Raises:
        FileNotFoundError: if what it extends is not there.
        ValueError: if that is no YAML mapping, or extends itself.
    """
    if EXTENDS not in document:
        return document
    if not isinstance(document[EXTENDS], str):
        raise ValueError(f"`{EXTENDS}` must name one file, not {document[EXTENDS]!r}.")
    over = {key: value for key, value in document.items() if key != EXTENDS}
    return _merged(_read(folder / document[EXTENDS], above), over)


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no config {path}; name an existing YAML file.")
    if path.resolve() in above:
        raise ValueError(f"{path} extends itself; take out its `{EXTENDS}`.")
    document = read_yaml(path)
    return extended(document, path.parent, *above, path.resolve())


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    if over.get("class_path", under.get("class_path")) != under.get("class_path"):
        return over
    merged = dict(under)
    for key, value in over.items():
        below = under.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


class ExtendingParser:
    """For parsers of jsonargparse: a config may say ``extends: FILE``, named from its own folder."""

    _whole: dict[str, Any] | None = None  # the config that is being parsed

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        """Parse a config; one that is no YAML mapping is named, which jsonargparse would not do."""
        try:
            self._whole = whole_config(Path(path))
        except (ValueError, OSError) as error:
            self.error(str(error), error)  # type: ignore[attr-defined]
        return super().parse_path(path, *args, **kwargs)  # type: ignore[misc]

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Any:
        """Parse what a config holds, and what it extends."""
        whole, self._whole = self._whole, None
        if whole is not None and EXTENDS in content:
            content = yaml.safe_dump(whole, sort_keys=False)
        return super().parse_string(content, *args, **kwargs)  # type: ignore[misc]
