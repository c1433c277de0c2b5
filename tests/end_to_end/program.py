"""The real program, run by tests: its options for the tiny system, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{REPOSITORY / 'src'}{os.pathsep}{REPOSITORY}",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
DECODER = "--model.init_args.decoder.init_args"


def options(demo_root: Path, run: Path, *more: str) -> list[str]:
    """The options of `fit` and `test` for the tiny system on the embedded data in ``demo_root``, in the folder ``run``."""
    return [
        *("--config", str(REPOSITORY / "configs" / "demo" / "lavcap.yaml"), "--config", str(HERE / "tiny.yaml")),
        *("--data.init_args.shards", str(demo_root / "shards")),
        *(f"{DECODER}.tokenizer", str(demo_root / "tokenizer")),
        *(f"{DECODER}.config", str(HERE / "tiny_llm.json")),
        *("--trainer.default_root_dir", str(run)),
        *more,
    ]


def command(*words: str) -> list[str]:
    """The command line of `avcap` without an installed script."""
    return [sys.executable, str(REPOSITORY / "cli.py"), *words]


def program(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `avcap` in a process of its own and wait for it."""
    return subprocess.run(
        command(*words),
        cwd=REPOSITORY,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
