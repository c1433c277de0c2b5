"""Downloads that no wheel contains: the CoreNLP 3.6.0 models of SPICE, and the two sentence models of FENSE."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from avcap.metrics.jars import CORENLP_JARS, prepare_jars, spice_lib


def install_corenlp(archive: Path) -> Path:
    """Install two jars for SPICE from ``stanford-corenlp-full-2015-12-09.zip``, and link the others from pycocoevalcap.

    Returns:
        The folder that holds SPICE's jars now.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no zip file or lacks one of the jars.
    """
    archive = Path(archive)
    if not archive.is_file():
        raise FileNotFoundError(f"{archive}: no such file; give the CoreNLP 3.6.0 distribution (a zip file)")
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"{archive} is not a zip file: the download may have been cut short")
    prepare_jars()
    target = spice_lib()
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as content, tempfile.TemporaryDirectory(dir=target, prefix=".placing-") as folder:
        members = {PurePosixPath(member).name: member for member in content.namelist()}
        if missing := [jar for jar in CORENLP_JARS if jar not in members]:
            raise ValueError(f"{archive} lacks {' and '.join(missing)}: SPICE needs CoreNLP 3.6.0")
        for jar in CORENLP_JARS:
            fresh = Path(folder) / jar
            with content.open(members[jar]) as source, fresh.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            fresh.replace(target / jar)
    return target


def download_corenlp() -> Path:
    """Download CoreNLP 3.6.0 (about 400 MB) from the source that aac-metrics uses, and install its jars.

    Raises:
        OSError: If it cannot be reached.
    """
    from aac_metrics.download import DATA_URLS
    from torch.hub import download_url_to_file

    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "corenlp.zip"
        download_url_to_file(DATA_URLS["spice_corenlp_zip"]["url"], str(archive))
        return install_corenlp(archive)


def download_fense() -> None:
    """Download FENSE's sentence and fluency models into the caches of Hugging Face and torch.

    Raises:
        OSError: If they cannot be reached.
    """
    import requests
    from aac_metrics.classes.fense import FENSE
    from huggingface_hub.constants import ENDPOINT

    requests.head(ENDPOINT, timeout=20)  # fails at once where the hub's own client would try for a minute
    FENSE(device="cpu")
