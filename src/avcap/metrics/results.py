"""The file ``results.json``: what a run scored, on which clips, and with which software.

Fields: ``name`` (of the system), ``scores`` (metric to number, not multiplied by 100), ``clips`` (their number),
``id_hash`` (which clips, see ``avcap.ids.id_hash``), ``tokenizer`` (``ptb`` or ``plain``), ``left_out`` (metric to
reason), ``human_bound`` (metric to number, or null), ``constant`` (``caption`` and ``scores``, or null), ``settings``
(whatever the run wants to remember: decoding, checkpoint, seed), ``training`` (its speed, or null), ``versions`` (package to version).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from avcap import __version__
from avcap.atomic import write_atomically
from avcap.mappings import read_json
from avcap.metrics.bounds import ConstantCaption
from avcap.metrics.evaluate import Scores

_PACKAGES = ("torch", "lightning", "transformers", "aac-metrics", "pycocoevalcap")


def make_results(
    name: str,
    scores: Scores,
    *,
    human_bound: Scores | None = None,
    constant: ConstantCaption | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Collect everything about one evaluation in one JSON-ready dictionary (fields: see the module).

    Raises:
        ValueError: If the human bound or the constant caption was scored on other clips.
    """
    for other in (human_bound, constant.scores if constant else None):
        if other is not None and other.id_hash != scores.id_hash:
            raise ValueError(
                f"{name} was scored on clips {scores.id_hash} and its bound on {other.id_hash}: use the same clips"
            )
    return {
        "name": name,
        "scores": dict(scores.corpus),
        "clips": scores.clip_count,
        "id_hash": scores.id_hash,
        "tokenizer": scores.tokenizer,
        "left_out": dict(scores.left_out),
        "human_bound": dict(human_bound.corpus) if human_bound else None,
        "constant": {"caption": constant.caption, "scores": dict(constant.scores.corpus)} if constant else None,
        "settings": dict(settings or {}),
        "versions": {"avcap": __version__, **package_versions(_PACKAGES)},
    }


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write ``results.json``, as ``make_results`` returns it, in one step, so that no half file is left."""
    write_atomically(path, json.dumps(results, indent=2, ensure_ascii=False, default=str) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read ``results.json``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON or lacks ``name``, ``scores``, ``clips`` or ``id_hash``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no results there; run `avcap test` first")
    results = read_json(path, remedy="run `avcap test` again")
    missing = [field for field in ("name", "scores", "clips", "id_hash") if field not in results]
    if missing:
        raise ValueError(f"{path}: no results file, {', '.join(missing)} is missing")
    if wrong := [field for field, is_right in _FIELDS.items() if field in results and not is_right(results[field])]:
        raise ValueError(f"{path} is damaged: {', '.join(wrong)} is of another type; run `avcap test` again.")
    return {"left_out": {}, "settings": {}, **results}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_scores(value: Any) -> bool:
    """Return whether a value maps metrics to numbers."""
    return isinstance(value, dict) and all(isinstance(score, int | float) for score in value.values())


def _is_constant(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("caption")) and _is_scores(value.get("scores"))


def _is_settings(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key) or {}, dict) for key in ("selection", "generation")
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "scores": _is_scores,
    "clips": lambda value: isinstance(value, int),
    "id_hash": _is_text,
    "tokenizer": lambda value: value is None or _is_text(value),
    "left_out": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "human_bound": lambda value: value is None or _is_scores(value),
    "constant": lambda value: value is None or _is_constant(value),
    "settings": _is_settings,
    "versions": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return installed versions, without packages that are not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
