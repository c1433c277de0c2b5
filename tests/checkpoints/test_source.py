from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.checkpoints.hugging_face import Source, fetch, make_config, read_config
from avcap.checkpoints.source import find_source, load_tokenizer, pretrained_config


def test_hub_names_are_left_alone():
    assert find_source("meta-llama/Llama-2-7b-chat-hf") == Source("meta-llama/Llama-2-7b-chat-hf")
    assert find_source("gpt2") == Source("gpt2")
    assert find_source("json") == Source("json")  # a Python package, but not one that ships a model


def test_a_folder_with_one_gguf_file(tmp_path: Path):
    (tmp_path / "small.gguf").touch()
    expected = Source(str(tmp_path), "small.gguf")
    assert find_source(str(tmp_path)) == find_source(str(tmp_path / "small.gguf")) == expected


def test_a_folder_with_several_gguf_files(tmp_path: Path):
    (tmp_path / "a.gguf").touch()
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ValueError, match=r"several GGUF files \(a\.gguf, b\.gguf\)"):
        find_source(str(tmp_path))
    assert find_source(str(tmp_path), "b.gguf").gguf_file == "b.gguf"


def test_a_config_json_wins_over_gguf(tmp_path: Path):
    (tmp_path / "a.gguf").touch()
    (tmp_path / "config.json").write_text("{}")
    assert find_source(str(tmp_path)) == Source(str(tmp_path))


def test_a_package_that_ships_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "some_llm"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "some.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_source("some_llm") == Source(str(package), "some.gguf")


def test_config_from_a_file_or_a_mapping(tmp_path: Path):
    settings = {"model_type": "llama", "hidden_size": 8}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    assert read_config(file) == read_config(settings) == settings
    assert make_config({**settings, "architectures": ["X"], "torch_dtype": "float16"}).hidden_size == 8


def test_config_mistakes_are_named(tmp_path: Path):
    file = tmp_path / "config.json"
    with pytest.raises(FileNotFoundError, match=r"decoder\.config: there is no file"):
        read_config(file)
    file.write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_config(file)
    with pytest.raises(ValueError, match="has no model_type"):
        read_config({"hidden_size": 8})
    with pytest.raises(ValueError, match="knows no model_type 'lama'"):
        make_config({"model_type": "lama"})


def test_absent_tokenizer_names_field_and_remedy(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"decoder\.tokenizer: .*avcap data demo"):
        load_tokenizer(Source(str(tmp_path / "tokenizer")))


@pytest.mark.parametrize("name", ["./tokenizer", "data/demo/tokenizer", "here/tokenizer", "../tokenizer"])
def test_the_network_is_not_asked_for_paths(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    asked = []

    class Factory:
        @staticmethod
        def from_pretrained(name: str, *, local_files_only: bool = False) -> None:
            asked.append(local_files_only)
            raise OSError(name)

    with pytest.raises(OSError):
        fetch(Factory, find_source(name))
    assert asked == []


def test_the_local_cache_comes_before_the_network(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: None)
    asked = []

    class Factory:
        @staticmethod
        def from_pretrained(name: str, *, local_files_only: bool = False, gguf_file: str | None = None) -> str:
            asked.append((name, local_files_only, gguf_file))
            if local_files_only:
                raise OSError("not in the cache")
            return "from the hub"

    assert fetch(Factory, Source("someone/model", "m.gguf")) == "from the hub"
    assert asked == [("someone/model", True, "m.gguf"), ("someone/model", False, "m.gguf")]


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def unreachable(*_: object, **__: object) -> None:
        asked.append("hub")
        raise ConnectionError("no network")

    class Factory:
        @staticmethod
        def from_pretrained(name: str, *, local_files_only: bool = False) -> None:
            asked.append("cache" if local_files_only else "retries")
            raise OSError(name)

    monkeypatch.setattr("huggingface_hub.model_info", unreachable)
    with pytest.raises(OSError, match="no network"):
        fetch(Factory, Source("someone/model"))
    assert asked == ["cache", "hub"]


def test_absent_model_names_field_and_remedy(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"decoder\.model: .*hub model"):
        pretrained_config(Source(str(tmp_path / "model")))
