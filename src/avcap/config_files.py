"""Config files: YAML mappings, one of which may extend another."""

from __future__ import annotations

import contextlib
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

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Any:
        """Parse what a config holds; the working folder is then its own."""
        with contextlib.suppress(yaml.YAMLError):  # the parser names the line
            document = yaml.safe_load(content)
            if isinstance(document, dict) and EXTENDS in document:
                try:
                    content = yaml.safe_dump(extended(document, Path()), sort_keys=False)
                except (ValueError, OSError) as error:
                    self.error(str(error), error)  # type: ignore[attr-defined]
        return super().parse_string(content, *args, **kwargs)  # type: ignore[misc]
