"""The Java programs of the metrics, from pycocoevalcap, without a download.

They lie as aac-metrics wants them, in a cache folder that its own download would fill. ``pycocoevalcap`` brings the same
files in its wheel: the PTB tokeniser, METEOR with its paraphrase table, and SPICE without the two CoreNLP 3.6.0 jars (its
parser models), which only ``avcap metrics download`` can fetch.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

CACHE_VARIABLE = "AVCAP_CACHE"
"""Environment variable that moves avcap's cache folder (default ``~/.cache/avcap``)."""

CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
"""What SPICE needs beside the jars in pycocoevalcap."""

PTB_JAR = Path("aac-metrics", "stanford_nlp", "stanford-corenlp-3.4.1.jar")
METEOR_JAR = Path("aac-metrics", "meteor", "meteor-1.5.jar")
"""Places below the cache folder."""

_PLACES = {
    "tokenizer/stanford-corenlp-3.4.1.jar": "stanford_nlp/stanford-corenlp-3.4.1.jar",
    "meteor/meteor-1.5.jar": "meteor/meteor-1.5.jar",
    "meteor/data/paraphrase-en.gz": "meteor/data/paraphrase-en.gz",
    "spice/spice-1.0.jar": "spice/spice-1.0.jar",
}


def cache_dir() -> Path:
    """Return avcap's cache folder: ``$AVCAP_CACHE`` or ``~/.cache/avcap``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "avcap")


def spice_lib() -> Path:
    """Return the folder of the jars that SPICE needs."""
    return cache_dir() / "aac-metrics" / "spice" / "lib"


def prepare_jars() -> Path:
    """Link (or copy) the jars into the cache folder. Fast if they are there already; safe for several processes at once.

    Returns:
        The cache folder, which aac-metrics calls ``cache_path``.

    Raises:
        FileNotFoundError: If pycocoevalcap is not installed or lacks a jar.
    """
    source, target = _pycocoevalcap(), cache_dir() / "aac-metrics"
    places = {source / theirs: target / ours for theirs, ours in _PLACES.items()}
    places |= {jar: spice_lib() / jar.name for jar in (source / "spice" / "lib").glob("*.jar")}
    for theirs, ours in places.items():
        place_file(theirs, ours)
    (target / "spice" / "cache").mkdir(parents=True, exist_ok=True)
    return cache_dir()


def missing_jars() -> str | None:
    """Return None if the jars are or can be put into the cache folder, else the reason."""
    try:
        prepare_jars()
    except OSError as error:
        return str(error)
    return None


def place_file(source: Path, target: Path) -> None:
    """Make ``target`` a link to ``source``, or a copy, in one step, so that no process sees half a file.

    A target of the right size is left alone; a dangling link or a half copy is replaced.

    Raises:
        FileNotFoundError: If ``source`` does not exist.
    """
    if not source.is_file():
        raise FileNotFoundError(f"{source} is missing: pip install --force-reinstall pycocoevalcap")
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".placing-") as folder:
        fresh = Path(folder) / target.name
        try:
            fresh.symlink_to(source)
        except OSError:  # a file system without links
            shutil.copyfile(source, fresh)
        fresh.replace(target)


def _pycocoevalcap() -> Path:
    """Find the folder of the installed package without importing it."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the PTB tokeniser and METEOR need their jars: pip install pycocoevalcap")
    return Path(spec.submodule_search_locations[0])
