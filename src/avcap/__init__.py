"""avcap: an experiment suite for audio-visual captioning.

``avcap.load(checkpoint).caption("clip.mp4")`` captions a file. The names below are imported when they are first used, so
that ``import avcap`` is quick; a captioner needs neither Lightning nor a config parser.
"""

import os as _os
import sys as _sys

if _sys.argv[:1] == ["-m"] and "avcap" in _sys.orig_argv and _sys.path[:1] == [_os.getcwd()]:  # noqa: PTH109 (as in sys.path)
    del _sys.path[0]  # `python -m avcap`: no file of the current folder stands for a library

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
