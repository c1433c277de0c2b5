"""``python -m avcap``: the `avcap` program of this Python."""

import sys

from avcap.cli import main

if __name__ == "__main__":
    sys.argv[0] = "avcap"  # the name in messages
    main()
