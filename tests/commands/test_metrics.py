from __future__ import annotations

import pytest

from avcap.commands import metrics as module
from avcap.commands.metrics import download, list_metrics
from avcap.metrics import metric_names


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AVCAP_CACHE", str(tmp_path / "cache"))


def test_list(capsys):
    list_metrics()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == metric_names()
    assert "cider_d           available" in lines
    assert "sbert_sim_minilm  available on request (--metrics)" in lines
    assert any(line.startswith("fense             needs its sentence model: run") for line in lines)


def test_download_offline_says_so_and_fails(monkeypatch):
    def offline() -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(module, "download_corenlp", offline)
    monkeypatch.setattr(module, "download_fense", offline)
    with pytest.raises(SystemExit) as ending:
        download()
    lines = str(ending.value.code).splitlines()
    assert lines == [
        "Could not download the CoreNLP 3.6.0 models of SPICE (no route): is this machine online?",
        "Could not download the models of FENSE (no route): is this machine online?",
    ]


def test_download_fetches_only_what_is_asked_for(monkeypatch, capsys):
    fetched = []
    monkeypatch.setattr(module, "download_corenlp", lambda: fetched.append("corenlp"))
    monkeypatch.setattr(module, "download_fense", lambda: fetched.append("fense"))
    download(spice=False)
    download(fense=False)
    assert fetched == ["fense", "corenlp"]
    assert "bleu_4" in capsys.readouterr().out


def test_a_file_given_is_not_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "download_corenlp", lambda: pytest.fail("should not download"))
    with pytest.raises(FileNotFoundError, match=r"corenlp\.zip: no such file"):
        download(fense=False, corenlp=tmp_path / "corenlp.zip")
