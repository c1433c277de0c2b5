"""Shards in an S3-compatible store, by a real server on this machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from avcap.data import AudioCapsDataModule, ClipChoice
from avcap.shards.derived import write_column
from avcap.shards.reader import Shards
from avcap.shards.store import ShardStore
from tests.served import SMALL, served

moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]' to test shards in a store")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def address(server: Any, small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The small shards with a derived column of the training split, in a bucket."""
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    folder = shutil.copytree(small_shards, tmp_path / "local")
    upload(folder)
    return "s3://bucket/some/shards"


def upload(folder: Path, prefix: str = "some/shards") -> None:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    for entry in client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", ()):
        client.delete_object(Bucket="bucket", Key=entry["Key"])
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "bucket", f"{prefix}/{path.relative_to(folder).as_posix()}")


def _cached(tmp_path: Path, **settings: Any) -> ClipChoice:
    return ClipChoice(cache=tmp_path / "cache", **settings)


def _same(one: AudioCapsDataModule, two: AudioCapsDataModule) -> None:
    for loaders in ((one.train_dataloader(), two.train_dataloader()), (one.val_dataloader(), two.val_dataloader())):
        for a, b in zip(*map(list, loaders), strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) and "time" not in k else k for k in a)
            assert a["id"] == b["id"]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_the_store_are_those_from_the_disk(address: str, tmp_path: Path, workers: int) -> None:
    choice = {"window": 2}
    local = served(tmp_path / "local", clips=ClipChoice(**choice), num_workers=workers)
    _same(served(address, clips=_cached(tmp_path, **choice), num_workers=workers), local)
    assert len(list((tmp_path / "cache").rglob("*.bin"))) == 4 + 1
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_derived_columns_come_from_the_store_as_well(address: str, tmp_path: Path) -> None:
    write_column(Shards(tmp_path / "local" / "train"), SMALL, num_workers=0, progress=False)
    upload(tmp_path / "local")
    data = served(address, clips=_cached(tmp_path))
    assert data.dataset("train")._column is not None
    _same(data, served(tmp_path / "local"))


def test_each_file_is_fetched_once(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched, download = [], ShardStore._download
    monkeypatch.setattr(
        ShardStore, "_download", lambda self, key, path: fetched.append(key) or download(self, key, path)
    )
    data = served(address, clips=_cached(tmp_path))
    for _ in range(2):
        list(data.train_dataloader())
    data.training_captions()
    assert len(fetched) == len(set(fetched))
    count = len(fetched)
    list(served(address, clips=_cached(tmp_path)).train_dataloader())  # another run
    assert {key.rpartition("/")[2] for key in fetched[count:]} == {"info.json", "index.json", "captions.jsonl"}


def test_the_cache_keeps_its_limit_and_the_present_window(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = Shards(tmp_path / "local" / "train").shard_bytes
    limit = sum(sorted(sizes)[-2:])
    choice = _cached(tmp_path, window=1, cache_gigabytes=limit / 1e9)
    held, download = [], ShardStore._download

    def watched(self: ShardStore, key: str, path: Path) -> None:
        download(self, key, path)
        held.append(sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.bin")))

    monkeypatch.setattr(ShardStore, "_download", watched)
    loader = served(address, clips=choice).train_dataloader()
    fetched = []
    monkeypatch.setattr(
        ShardStore, "_size", lambda self, key, ask=ShardStore._size: fetched.append(key) or ask(self, key)
    )
    assert sorted(clip for batch in loader for clip in batch["id"]) == Shards(tmp_path / "local" / "train").ids
    assert len(fetched) == len(sizes)  # no shard twice
    assert max(held) <= limit
    with pytest.raises(ValueError, match=r"too small for all shards .* set clips\.window"):
        served(address, clips=_cached(tmp_path, cache_gigabytes=limit / 1e9)).train_dataloader()


def test_a_split_that_was_made_again_is_fetched_again(address: str, tmp_path: Path) -> None:
    list(served(address, clips=_cached(tmp_path)).train_dataloader())
    local = tmp_path / "local" / "train"
    info = json.loads((local / "info.json").read_text())
    (local / "info.json").write_text(json.dumps({**info, "plan": "another"}))
    upload(tmp_path / "local")
    served(address, clips=_cached(tmp_path)).dataset("train")
    assert not list((tmp_path / "cache" / "bucket" / "some" / "shards" / "train").glob("*.bin"))


def test_a_lost_connection_is_tried_again_then_told(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avcap.shards.store.time.sleep", lambda _: None)
    data = served(address, clips=_cached(tmp_path))
    loader = data.train_dataloader()
    client, failures = ShardStore._client, [2]

    def flaky(self: ShardStore) -> Any:
        failures[0] -= 1
        if failures[0] >= 0:
            raise ConnectionResetError("the line is cut")
        return client(self)

    monkeypatch.setattr(ShardStore, "_client", flaky)
    assert next(iter(loader))["id"]
    failures[0] = 1000
    with pytest.raises(ConnectionError, match=r"s3://bucket/some/shards/val/.* \(the line is cut\); check the address"):
        list(data.val_dataloader())


def test_a_store_that_is_not_there_is_told(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"There are no shards of train at s3://bucket/elsewhere; upload"):
        served("s3://bucket/elsewhere", clips=_cached(tmp_path)).setup("fit")
    with pytest.raises(ConnectionError, match=r"s3://nobody/.*NoSuchBucket"):
        served("s3://nobody/shards", clips=_cached(tmp_path)).setup("fit")
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX"):
        served("s3://", clips=_cached(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"Unable to locate credentials\); check .* AWS_ACCESS_KEY_ID"):
        served(address, clips=_cached(tmp_path)).setup("fit")
    assert os.environ["AWS_ENDPOINT_URL"]
