#!/usr/bin/env python3
"""Stands in for `avcap fit` and `avcap test` as the LAUNCH of a cell: leaves what they leave, as the overlay's `act` says.

It is run as ``program.py python -m avcap VERB --config BASE --config OVERLAY ...`` and notes its command line in ``calls``
in the folder of the run. ``act`` may hold ``fail: VERB``, or ``wait: FILE``: go on when that file is in
the folder of the run.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(words: list[str]) -> int:
    verb = words[words.index("avcap") + 1]
    overlay = Path([words[i + 1] for i, word in enumerate(words) if word == "--config"][-1]).read_text()
    act = dict(line.strip().split(": ") for line in overlay.splitlines() if line.startswith("  "))
    run = Path(words[words.index("--trainer.default_root_dir") + 1])
    with (run / "calls").open("a") as calls:
        calls.write(json.dumps({"verb": verb, "words": words, "threads": os.environ.get("OMP_NUM_THREADS")}) + "\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    while verb == "fit" and "wait" in act and not (run / act["wait"]).exists():
        time.sleep(0.02)
    if act.get("fail") == verb:
        print(f"avcap: error: {verb} went wrong", file=sys.stderr)
        return 1
    if verb == "fit":
        (run / "checkpoints").mkdir(exist_ok=True)
        (run / "checkpoints" / "best.ckpt").touch()
        (run / "speed.json").write_text('{"clips_per_second": 40.0}')
    else:
        (run / "results.json").write_text(json.dumps({"scores": {"cider_d": 0.5}, "overlay": overlay}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
