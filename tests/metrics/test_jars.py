from __future__ import annotations

import multiprocessing
import zipfile
from pathlib import Path

import pytest

from avcap.metrics.jars import CORENLP_JARS, cache_dir, place_file, prepare_jars, spice_lib
from avcap.metrics.models import install_corenlp
from avcap.metrics.semantic import Spice


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("AVCAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_jars_are_put_where_aac_metrics_looks(empty_cache):
    assert prepare_jars() == cache_dir() == empty_cache
    for name in ("stanford_nlp/stanford-corenlp-3.4.1.jar", "meteor/meteor-1.5.jar", "meteor/data/paraphrase-en.gz"):
        assert (empty_cache / "aac-metrics" / name).stat().st_size > 100_000


def test_a_half_copy_and_a_dangling_link_are_replaced(empty_cache):
    prepare_jars()
    meteor = empty_cache / "aac-metrics" / "meteor" / "meteor-1.5.jar"
    size = meteor.stat().st_size
    meteor.unlink()
    meteor.write_bytes(b"half")
    tokenizer = empty_cache / "aac-metrics" / "stanford_nlp" / "stanford-corenlp-3.4.1.jar"
    tokenizer.unlink()
    tokenizer.symlink_to("/nowhere/at/all.jar")
    prepare_jars()
    assert meteor.stat().st_size == size
    assert tokenizer.is_file()


def prepare(queue: multiprocessing.Queue) -> None:
    prepare_jars()
    queue.put(True)


def test_several_processes_may_prepare_at_once(empty_cache):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=prepare, args=(queue,)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert not list((empty_cache / "aac-metrics").rglob(".placing-*"))


def test_copies_where_links_are_impossible(monkeypatch, tmp_path):
    def refuse(*args: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    source = tmp_path / "source.jar"
    source.write_bytes(b"content")
    place_file(source, tmp_path / "deep" / "target.jar")
    assert (tmp_path / "deep" / "target.jar").read_bytes() == b"content"
    assert not (tmp_path / "deep" / "target.jar").is_symlink()


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.jar is missing: pip install"):
        place_file(tmp_path / "absent.jar", tmp_path / "target.jar")


def test_corenlp_is_installed_from_a_file(empty_cache, tmp_path):
    archive = tmp_path / "corenlp.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for jar in CORENLP_JARS:
            content.writestr(f"stanford-corenlp-full-2015-12-09/{jar}", jar)
    assert "CoreNLP 3.6.0 models" in (Spice().why_not() or "")
    assert install_corenlp(archive) == spice_lib()
    assert Spice().why_not() is None
    from aac_metrics.functional.spice import check_spice_install

    check_spice_install(str(empty_cache))  # raises if a jar is not where aac-metrics wants it


def test_a_wrong_archive_is_refused(empty_cache, tmp_path):
    archive = tmp_path / "other.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"other\.zip lacks stanford-corenlp-3\.6\.0\.jar"):
        install_corenlp(archive)
    archive.write_bytes(b"cut short")
    with pytest.raises(ValueError, match="not a zip file"):
        install_corenlp(archive)
    with pytest.raises(FileNotFoundError, match="no such file"):
        install_corenlp(tmp_path / "absent.zip")
