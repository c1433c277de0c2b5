"""Shards in an S3-compatible store: whole files, fetched when they are read, in a local cache of limited size.

Credentials and the address of the server come from the usual environment alone (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_ENDPOINT_URL``, ...).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from avcap.shards.derived import INDEX as COLUMN_INDEX
from avcap.shards.reader import CAPTIONS, DERIVED, INDEX, INFO, Shards

log = logging.getLogger(__name__)

ATTEMPTS = 4  # of one download
_ADDRESS = re.compile(r"s3:/+([^/]+)/*(.*)")


class ShardStore:
    """A folder of shards in a store, and its copy in the cache.

    Facts, index, captions and the indices of derived columns of a split are copied when it is opened, its shards one by one
    when they are read. Several processes may share the cache; each file is fetched once.

    Args:
        address: ``s3://bucket/prefix``.
        cache: Local folder.
        limit: Bytes of the shards in the cache; those used longest ago are deleted first.

    Raises:
        ValueError: if the address names no bucket.
    """

    def __init__(self, address: str, cache: Path, limit: int) -> None:
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise ValueError(f"{address} is no address of shards in a store; write s3://BUCKET/PREFIX.")
        self.bucket, self.prefix = found[1], found[2].strip("/")
        self.address = f"s3://{self.bucket}/{self.prefix}"
        self.folder = cache.expanduser().absolute() / self.bucket / self.prefix
        self.limit = limit
        self._opened: set[str] = set()
        self._clients: dict[int, Any] = {}  # by process: a connection does not outlive a fork

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clients": {}}

    @cached_property
    def splits(self) -> list[str]:
        """Names of the splits in the store.

        Raises:
            ConnectionError: if the store cannot be read.
        """
        return sorted(key.split("/")[0] for key in self._keys("") if key.endswith(f"/{INFO}") and key.count("/") == 1)

    def open(self, split: str) -> Path:
        """Copy what describes a split, once, and return its folder in the cache. Shards of an earlier content are deleted.

        Raises:
            FileNotFoundError: if the store has no such split.
            ConnectionError: if the store cannot be read.
        """
        folder = self.folder / split
        if split in self._opened:
            return folder
        if split not in self.splits:
            found = f", only of {' and '.join(self.splits)}" if self.splits else ""
            raise FileNotFoundError(
                f"There are no shards of {split} at {self.address}{found}; upload what `avcap data prepare` made."
            )
        folder.mkdir(parents=True, exist_ok=True)
        keys = [key.removeprefix(f"{split}/") for key in self._keys(f"{split}/")]
        small = [key for key in keys if key in (INDEX, CAPTIONS) or Path(key).match(f"{DERIVED}/*/{COLUMN_INDEX}")]
        with FileLock(self.folder / f".{split}.lock"):
            before = (folder / INFO).read_bytes() if (folder / INFO).is_file() else None
            self._download(f"{split}/{INFO}", folder / INFO)
            if before is not None and before != (folder / INFO).read_bytes():
                log.info("%s has changed in the store; its files in the cache are fetched again.", split)
                for entry in [entry for entry in folder.iterdir() if entry.name != INFO]:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            for key in small:
                self._download(f"{split}/{key}", folder / key)
        self._opened.add(split)
        return folder

    def require_room(self, shards: Shards, window: int | None) -> None:
        """Refuse a cache that is too small for the order of training: it would fetch the same shards again and again.

        Args:
            shards: The split.
            window: Shards that are read at a time; None: all.

        Raises:
            ValueError: naming the sizes and the remedies.
        """
        sizes = sorted(shards.shard_bytes, reverse=True)
        needed = sum(sizes if window is None else sizes[: 2 * window])  # the workers are at the next window already
        if needed > self.limit:
            raise ValueError(
                f"The cache of {self.limit / 1e9:g} GB is too small for {'all' if window is None else f'two windows of {window}'} shards of "
                f"{shards.folder} ({needed / 1e9:.3g} GB); set clips.window to fewer shards, or raise clips.cache_gigabytes."
            )

    def locate(self, path: Path) -> Path:
        """Return a file of the copy, fetched before where it is not there.

        Args:
            path: Where it lies in the cache.

        Raises:
            ConnectionError: if it cannot be fetched.
        """
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                if not path.is_file():
                    key = path.relative_to(self.folder).as_posix()
                    self._make_room(self._size(key))
                    self._download(key, path)
        os.utime(path)  # used now
        return path

    def _make_room(self, count: int) -> None:
        """Delete the shards that were used longest ago, until ``count`` more bytes fit."""
        with FileLock(self.folder / ".room.lock"):
            held = sorted((stat.st_mtime, stat.st_size, path) for path, stat in self._held())
            total = count + sum(size for _, size, _ in held)
            for _, size, path in held:
                if total <= self.limit:
                    return
                path.unlink(missing_ok=True)
                total -= size

    def _held(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.rglob("*.bin"):
            try:
                yield path, path.stat()
            except FileNotFoundError:
                continue  # deleted by another process

    def _size(self, key: str) -> int:
        return int(self._asked(key, lambda client, place: client.head_object(**place))["ContentLength"])

    def _download(self, key: str, path: Path) -> None:
        """Fetch an object beside its place, and rename it."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._asked(key, lambda client, place: client.download_file(place["Bucket"], place["Key"], str(fresh)))
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _keys(self, below: str) -> list[str]:
        """Return the keys that begin with ``below``, without the prefix."""
        start = f"{self.prefix}/{below}".lstrip("/")

        def listed(client: Any, place: dict[str, str]) -> list[str]:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=place["Bucket"], Prefix=start)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

        root = f"{self.prefix}/" if self.prefix else ""
        return [key.removeprefix(root) for key in self._asked(below, listed)]

    def _asked(self, key: str, ask: Any) -> Any:
        """Ask the store, again where the connection is lost.

        Raises:
            ConnectionError: at the last failure.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        place = {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}".lstrip("/")}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return ask(self._client(), place)
            except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
                final = isinstance(error, ClientError | NoCredentialsError)  # an answer, or no name to ask under
                if final or attempt == ATTEMPTS:
                    reason = " ".join(str(error).split()).rstrip(".")
                    raise ConnectionError(
                        f"s3://{self.bucket}/{place['Key']} cannot be read ({reason}); check the address, the connection, and "
                        "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."
                    ) from None
                log.warning("The store cannot be reached (%s); attempt %d of %d.", error, attempt + 1, ATTEMPTS)
                time.sleep(0.5 * 2**attempt)
        raise AssertionError  # the last attempt returns or raises

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        if os.getpid() not in self._clients:
            settings = Config(retries={"max_attempts": 3, "mode": "standard"}, connect_timeout=10, read_timeout=60)
            self._clients[os.getpid()] = boto3.session.Session().client("s3", config=settings)
        return self._clients[os.getpid()]
