"""Captions in JSON: the layouts of AVCap and LAVCap, of WavCaps, and of COCO, each with a model of its fields."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from avcap.captions.entry import (
    MEDIA_SUFFIX,
    Entry,
    EntryList,
    checked_file,
    checked_id,
    counted,
    is_seconds,
    joined,
    stem_of,
    tell_apart,
    youtube_entry,
)
from avcap.ids import clip_id, name_some
from avcap.jsonl import is_text, parse_json
from avcap.text_file import decode_text

_MILLISECONDS = re.compile(r"(?P<id>.+)_(?P<start>\d{1,12})_(?P<end>\d{1,12})$")
_OF_YOUTUBE = re.compile(r"(?P<id>[\w-]{11})_(?P<start>\d{1,12})_(?P<end>\d{1,12})$", re.ASCII)
_NUMBERED = re.compile(r"caption_\d+$")


def _texts(value: object) -> list[str]:
    """Return one caption or several as a list; captions without a word are refused."""
    given = value if isinstance(value, list) else [value]
    texts = [" ".join(text.split("\n")).strip() for text in given if is_text(text)]
    if not texts or len(texts) < len(given):
        raise ValueError
    return texts


def _name(value: object) -> str:
    """Return an id as a text; a whole number is one."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError
    return str(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not is_seconds(value):
        raise ValueError
    return float(value)


_Captions = Annotated[list[str], BeforeValidator(_texts), Field(description="a text, or a list of texts")]
_ID = "a text or a whole number"
_Id = Annotated[str, BeforeValidator(_name), Field(description=_ID)]
_Start = Annotated[float, BeforeValidator(_seconds), Field(description="a number of seconds")]
_Text = Annotated[str, Field(description="a text")]
_Path = Annotated[str | None, Field(description="a path")]


class _Fields(BaseModel):
    """The fields of an object; others may stand beside them."""

    model_config = ConfigDict(strict=True, extra="allow")


class _AudioCapsRow(_Fields):
    """A row of the layout of AVCap and LAVCap."""

    youtube_id: _Text
    start_time: _Start
    caption: _Captions
    audio_path: _Path = None
    video_path: _Path = None

    def entry(self, where: str, folder: Path) -> Entry:
        entry = youtube_entry(where, self.youtube_id, self.start_time, self.caption)
        entry.names = list(dict.fromkeys(PurePosixPath(p).stem for p in (self.audio_path, self.video_path) if p))
        return entry


class _WavCapsRow(_Fields):
    """A row of the layout of WavCaps, named by an id, or by the path of its sound."""

    id: Annotated[str | None, BeforeValidator(lambda value: None if value is None else _name(value))] = Field(
        None, description=_ID
    )
    caption: _Captions
    audio: _Path = None

    def entry(self, where: str, folder: Path) -> Entry:
        audio = self.audio if self.audio and MEDIA_SUFFIX.search(self.audio) else None  # "wav_path" stands for none
        if self.id is not None:
            name = checked_id(where, "id", self.id)
            name = stem_of(name) if re.search(r"\.(wav|flac|mp3|mp4)$", name) else name
            return Entry(name, self.caption, names=list(dict.fromkeys([name, *([_stem(audio)] if audio else [])])))
        if audio is None:
            raise ValueError(f"{where}: id and audio are missing; a clip is named by one of them.")
        if audio.startswith("/"):
            return Entry(_stem(audio), self.caption, names=[_stem(audio)])
        file = checked_file(where, "audio", audio, folder)
        return Entry(stem_of(file), self.caption, file=file)


class _Image(_Fields):
    id: _Id
    file_name: _Path = None
    audio_path: _Path = None
    video_path: _Path = None


class _Annotation(_Fields):
    image_id: _Id
    caption: Annotated[_Text, Field(pattern=r"\S")]


class ReferenceRow(_Fields):
    """A line of references.

    Attributes:
        id: The clip's id.
        captions: Its captions, also called ``references`` or ``caption``.
    """

    id: _Id
    captions: _Captions


_Model = TypeVar("_Model", bound=BaseModel)


def read_document(path: Path, text: str) -> EntryList:
    """Read captions in JSON; those of a COCO file beside it replace its own.

    Args:
        path: The file.
        text: Its content.

    Raises:
        ValueError: if a field is missing or of another type, an id comes twice, or the layout is unknown; the message names
            the entry.
    """
    content = parse_json(text, str(path))
    if isinstance(content, dict) and "annotations" in content:
        return _coco_entries(path, content)
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise ValueError(
            f"{path} is neither a list of clips, nor WavCaps (data), nor a COCO caption file (images, annotations)."
        )
    entries = [_row_entry(path, f"{path}, clip {index}", row) for index, row in enumerate(rows)]
    _refuse_mixed(path, ((str(row["id"]), row["id"]) for row in rows if row.get("id") is not None))
    _refuse_mixed(path, ((e.id, row.get("audio")) for e, row in zip(entries, rows, strict=True) if e.names == [e.id]))
    tell_apart(path, entries)
    coco = path.with_name(f"{path.stem}_coco.json")
    if not coco.is_file():
        return EntryList(joined(entries))
    content = parse_json(decode_text(coco)[0], str(coco))
    captions = _coco_captions(coco, content)
    images = _coco_entries(coco, content)
    captions |= {image.id: image.captions for image in images}
    clips = {entry.id: entry for entry in entries}
    videos = Counter(entry.youtube_id for entry in [*clips.values(), *images])  # an image with a start is of one clip
    for entry in clips.values():
        of_video = captions.get(entry.youtube_id or "") if videos[entry.youtube_id] == 1 else None
        entry.captions = list(captions.get(entry.id) or of_video or entry.captions)
    return EntryList(clips.values())


def checked_fields(model: type[_Model], content: object, where: str) -> _Model:
    """Read an object by a model of its fields.

    Args:
        model: The model.
        content: What JSON gave.
        where: What messages call it.

    Raises:
        ValueError: if a field is missing or of another type; the message names it and says what it should be.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{where}: this is {_shown(content)} and not an object with {' and '.join(_needed(model))}.")
    if missing := [name for name in _needed(model) if name not in content]:
        raise ValueError(
            f"{where}: the field {' and '.join(missing)} is missing; it has {name_some([*content]) or 'none'}."
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        wanted = model.model_fields[name].description
        raise ValueError(f"{where}: the field {name} is {_shown(content[name])}; it must be {wanted}.") from error


def _needed(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _row_entry(path: Path, where: str, row: object) -> Entry:
    if isinstance(row, dict) and "youtube_id" not in row and ("id" in row or "audio" in row):
        if "caption" not in row and (several := [row[name] for name in row if _NUMBERED.match(name)]):
            row = {**row, "caption": several}
        return checked_fields(_WavCapsRow, row, where).entry(where, path.parent)
    return checked_fields(_AudioCapsRow, row, where).entry(where, path.parent)


def _coco_entries(path: Path, content: Any) -> EntryList:
    captions = _coco_captions(path, content)
    images = [checked_fields(_Image, row, where) for where, row in _items(path, content, "images")]
    _refuse_mixed(path, ((image.id, index) for index, image in enumerate(images)))
    known = {image.id for image in images}
    strangers = [name for name in captions if name not in known]
    silent = [image.id for image in images if image.id not in captions]
    entries = [_image_entry(path, image, captions[image.id]) for image in images if image.id in captions]
    tell_apart(path, entries)
    notes = counted(
        path, silent, "an image has no caption and is left out", "{} images have no caption and are left out"
    )
    notes += counted(
        path,
        strangers,
        "captions of an image that is not listed are left out",
        "captions of {} images that are not listed are left out",
    )
    return EntryList(joined(entries), notes)


def _image_entry(path: Path, image: _Image, captions: list[str]) -> Entry:
    where = f"{path}, image {image.id}"
    name = checked_id(where, "id", image.id)
    stems = list(dict.fromkeys(_stem(p) for p in (image.audio_path, image.video_path) if p))
    file = checked_file(where, "file_name", image.file_name, path.parent) if image.file_name else None
    times = next((m for stem in stems if (m := _MILLISECONDS.match(stem))), None)
    if times is None and file is not None and (times := _OF_YOUTUBE.match(_stem(file))):
        stems.append(_stem(file))
    if times is None or int(times["end"]) <= int(times["start"]):
        return Entry(name, captions, names=stems or [name], file=file)
    start = int(times["start"]) / 1000
    return Entry(clip_id(times["id"], start), captions, names=stems, youtube_id=times["id"], start=start)


def _coco_captions(path: Path, content: object) -> dict[str, list[str]]:
    if not isinstance(content, dict) or "annotations" not in content:
        raise ValueError(f"{path} is not a COCO caption file: it has no annotations.")
    captions: dict[str, list[str]] = {}
    for where, row in _items(path, content, "annotations"):
        annotation = checked_fields(_Annotation, row, where)
        captions.setdefault(annotation.image_id, []).extend(_texts(annotation.caption))
    return captions


def _items(path: Path, content: dict, name: str) -> Iterator[tuple[str, Any]]:
    rows = content.get(name, [])
    if not isinstance(rows, list):
        raise ValueError(f"{path}: the field {name} is {_shown(rows)}; it must be a list.")
    for index, row in enumerate(rows):
        yield f"{path}, {name}[{index}]", row


def _refuse_mixed(path: Path, ids: Iterator[tuple[str, object]]) -> None:
    """Refuse a second thing under one id: another image, or a text where the first was a number."""
    first: dict[str, object] = {}
    for name, what in ids:
        known = first.setdefault(name, what)
        if type(known) is not type(what) or (known != what):
            raise ValueError(f"{path}: the id {name} comes twice; give each clip an id of its own.")


def _stem(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).stem
