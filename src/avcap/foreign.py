"""Exceptions of other libraries that a user can put right, each as one sentence; what is not known here is a fault of ours."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

EXPECTED = (ValueError, OSError, ImportError)  # what a user can put right
_RESTORING = "lightning.pytorch.trainer.connectors.checkpoint_connector"
_DAMAGED = {"BadZipFile", "UnpicklingError", "SafetensorError", "YAMLError", "Error", "EOFError", "JSONDecodeError"}
_CLASS = "Problem with given class_path"
_UNION = "Does not validate against any of the Union subtypes"
_EMPTY = "Cannot copy out of meta tensor"
_WORKER = re.compile(r"Caught \w+ in .*?Original Traceback.*\n[\w.]+: (.*)", re.DOTALL)

# what a message says -> what to do; the message itself is not repeated
_KNOWN = (
    (
        r"out of memory|can't allocate memory|not enough memory|cannot allocate memory|array is too big|Unable to allocate",
        "There is not enough memory; make batches smaller (--data.batch_size, --batch_size), or give fewer or smaller files.",
    ),
    (
        r"No supported gpu backend|No CUDA GPUs are available|no NVIDIA driver|not compiled with CUDA|CUDAAccelerator.*not",
        "This machine has no GPU that torch can use; take --trainer.accelerator cpu (`avcap doctor` shows what there is).",
    ),
    (
        r"DataLoader worker \(pid.*\) (is killed|exited)",
        "A process that loads the data was killed, perhaps for want of memory; start again with fewer --data.num_workers.",
    ),
    (
        r"address already in use|EADDRINUSE",
        "The port of the processes is in use; set the environment variable MASTER_PORT to another.",
    ),
    (
        r"No space left|PytorchStreamWriter failed|file write failed|unexpected pos",
        "A file could not be written whole; free some space on the disk, and start again with --ckpt_path last.",
    ),
    (
        r"Too many open files",
        "Too many files are open; raise the limit (`ulimit -n 4096`), or take fewer --data.num_workers.",
    ),
    (
        r"trust_remote_code",
        "The model needs code of its own, which avcap never runs; name a model that transformers knows by itself.",
    ),
)


def cause(error: BaseException) -> BaseException:
    """Return the cause of an error for which the library reports only a consequence.

    jsonargparse wraps what a constructor raises once for each argument that may be null as well, and puts before the name of an
    absent library that of the class; Lightning, tidying up after weights that could not be read, fails to move the empty ones.
    """
    while str(error).startswith(_UNION) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error.__cause__, ImportError) and str(error).startswith(_CLASS):
        return cause(error.__cause__)
    if isinstance(error, NotImplementedError) and _EMPTY in str(error) and error.__context__ is not None:
        return cause(error.__context__)
    return error


def in_words(error: BaseException) -> str:
    """Return what is wrong: the sentence of it where there is one, else what the error says."""
    return sentence(error) or str(error)


def sentence(error: BaseException) -> str | None:
    """Return what is wrong, in one sentence; None if no user can put it right.

    Args:
        error: Any exception with which the program ends.
    """
    error = cause(error)
    text = _one_line(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]  # the innermost first
    foreign = not frames or not _module(frames[0]).startswith("avcap")
    if foreign and (isinstance(error, RuntimeError | MemoryError | OSError | ValueError) or "Misconfig" in str(kinds)):
        for pattern, remedy in _KNOWN:
            if re.search(pattern, f"{type(error).__name__} {text}", re.IGNORECASE):
                return remedy
    if isinstance(error, MemoryError):
        return _KNOWN[0][1]
    checkpoint = _restored(frames)
    if checkpoint and isinstance(error, ValueError) and not foreign and checkpoint not in text:
        return f"{checkpoint}: {text}"
    if checkpoint and foreign and not isinstance(error, OSError | ImportError):
        return (
            f"{checkpoint} cannot be restored ({type(error).__name__}: {_first(text)}); it is damaged, or of another system or "
            "version. Name another with --ckpt_path."
        )
    deep = isinstance(error, RecursionError) and any(
        _module(frame).startswith(("json", "yaml")) for frame in frames[:1]
    )
    if isinstance(error, UnicodeDecodeError) or kinds & _DAMAGED or deep:
        file = next(_files(frames), None)
        if file is not None and str(file) not in text:
            what = "is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else f"is damaged ({_first(text)})"
            return f"{file} {what}; write it again, or name another."
        return text if file is not None or isinstance(error, EXPECTED) else None
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}; give another path, or change what is there."
    if isinstance(error, EXPECTED):
        return text
    if "MisconfigurationException" in kinds or (
        isinstance(error, RuntimeError | TypeError) and _refused(error, frames)
    ):
        return text
    return None


def _one_line(error: BaseException) -> str:
    text = str(error)
    if found := _WORKER.search(text):  # of a process that loads the data
        text = found[1]
    return " ".join(text.split()) or type(error).__name__


def _first(text: str) -> str:
    """Return the first sentence of a message, without the advice that may follow."""
    return re.split(r"(?<=[^.])\. |\. ?$|: In PyTorch", text)[0][:200]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _refused(error: BaseException, frames: list[FrameType]) -> bool:
    """Return whether Lightning raised the error on purpose, of the options that it was given."""
    if not frames or not _module(frames[0]).startswith("lightning."):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (last.line or "").startswith("raise ")


def _restored(frames: list[FrameType]) -> str | None:
    """Return the checkpoint that Lightning was restoring."""
    inside = [frame for frame in frames if _module(frame) == _RESTORING]
    for frame in inside:
        connector = frame.f_locals.get("self")
        path = frame.f_locals.get("checkpoint_path") or getattr(getattr(connector, "trainer", None), "ckpt_path", None)
        if path:
            return str(path)
    return "The checkpoint" if inside else None


def _files(frames: list[FrameType]) -> Iterator[Path]:
    """Yield the files that the code was reading, the innermost first."""
    for frame in frames:
        for value in frame.f_locals.values():
            path = value if isinstance(value, Path) else getattr(value, "name", None)
            if isinstance(path, str | Path) and str(path) and Path(path).is_file():
                yield Path(path)
