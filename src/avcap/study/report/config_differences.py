"""The keys in which configs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avcap.study.report.collect import CellRuns

_SILENT = (
    *("seed_everything", "data.init_args.seed"),
    *("trainer.default_root_dir", "ckpt_path", "results.folder", "predictions.path"),
)
"""What differs between any two runs and says nothing of the system: seeds and where things are written."""
ABSENT = "–"


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return dotted keys and their values as JSON (text without quotes); a list is one value."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the keys in which nested configs differ, each with its value in every config, or "–" if a config lacks it.

    Left out are the seeds, the folders, and the arguments of classes that only some configs use: the class says enough.
    """
    flat = [dict(flatten(config)) for config in configs]
    keys = [key for key in dict.fromkeys(key for values in flat for key in values) if key not in _SILENT]
    table = {key: [values.get(key, ABSENT) for values in flat] for key in keys}
    table = {key: values for key, values in table.items() if len(set(values)) > 1}
    swapped = [key.removesuffix("class_path") + "init_args." for key in table if key.endswith("class_path")]
    return {
        key: values
        for key, values in table.items()
        if ABSENT not in values or not any(key.startswith(prefix) for prefix in swapped)
    }


def uneven_seeds(cell: CellRuns) -> list[str]:
    """Return the keys, apart from seeds, in which the runs of one cell differ; normally empty."""
    return list(differences([run.config for run in cell.runs]))
