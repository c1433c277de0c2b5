"""``python -m avcap``: the `avcap` program of this Python."""

from avcap.cli import main

if __name__ == "__main__":
    main()
