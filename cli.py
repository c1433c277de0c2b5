"""Run the `avcap` program from a checkout without installing it: `python cli.py fit --config ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from avcap.cli import main

if __name__ == "__main__":
    main()
