"""``avcap metrics``: which caption metrics can be computed here, and fetching the models that some of them need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from avcap.metrics.evaluate import available, default_metrics
from avcap.metrics.models import download_corenlp, download_fense, install_corenlp


def list_metrics() -> None:
    """Print every metric; for each that cannot be computed here, print the reason and the remedy."""
    found, usual = available(), default_metrics()
    width = max(map(len, found)) + 2
    for name, reason in found.items():
        here = "available" if name in usual else "available on request (--metrics)"
        print(f"{name:<{width}}{reason or here}")


def download(*, spice: bool = True, fense: bool = True, corenlp: Path | None = None) -> None:
    """Download the models of SPICE, SPIDEr and FENSE. Everything else works without a download.

    Args:
        spice: Fetch the CoreNLP 3.6.0 models (about 400 MB).
        fense: Fetch FENSE's sentence model and fluency model (about 700 MB).
        corenlp: The CoreNLP 3.6.0 distribution, a zip file downloaded by other means: installed instead of fetched.

    Raises:
        SystemExit: If something could not be fetched; what was fetched stays.
    """
    failed = []
    if corenlp is not None:
        install_corenlp(corenlp)
    elif spice:
        failed += _fetch("the CoreNLP 3.6.0 models of SPICE", download_corenlp)
    if fense:
        failed += _fetch("the models of FENSE", download_fense)
    if failed:
        raise SystemExit("\n".join(failed))
    list_metrics()


def _fetch(what: str, fetch: Callable[[], object]) -> list[str]:
    """Run a download, and return the message to end with if it fails."""
    try:
        fetch()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        return [f"Could not download {what} ({reason}): is this machine online?"]
    return []
