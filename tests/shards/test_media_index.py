"""The search for media: odd names, links, pipes, files that hold one stream each, whole recordings."""

from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import pytest

from avcap.captions import Entry, read_captions
from avcap.ids import file_name
from avcap.media import MediaError
from avcap.shards import clip_files
from avcap.shards.manifest import Clip, MediaIndex, find_clips, settled
from tests.media_files import grey_ramp, tone, write_csv, write_media


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def _youtube(name: str, start: float) -> Entry:
    return Entry(f"{name}_{start:g}", ["a"], youtube_id=name, start=start)


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file may be opened."""
    monkeypatch.setattr(clip_files, "_streams_of", lambda path: pytest.fail(f"{path} was opened"))


def test_sound_and_film_in_files_of_one_stem_are_told_by_content(tmp_path: Path) -> None:
    sound = write_media(tmp_path / "audio/x_0.webm", wave=tone(0.5, 48_000), rate=48_000, codec="libopus")
    film = write_media(tmp_path / "videos/x_0.mp4", pictures=grey_ramp(3))
    both = write_media(tmp_path / "y_0.mkv", wave=tone(0.5), pictures=grey_ramp(3))
    index = MediaIndex([tmp_path])
    found = index.find(_youtube("x", 0))
    assert (found.audio, found.frames) == (sound, (film,))
    found = index.find(_youtube("y", 0))
    assert (found.audio, found.frames) == (both, (both,))
    _touch(tmp_path, "frames/z_0.jpg")
    alone = write_media(tmp_path / "z_0.webm", wave=tone(0.5, 48_000), rate=48_000, codec="libopus")
    found = MediaIndex([tmp_path]).find(_youtube("z", 0))
    assert (found.audio, found.frames) == (alone, (tmp_path / "frames/z_0.jpg",))


def test_a_film_of_both_streams_is_preferred_for_neither(tmp_path: Path) -> None:
    both = write_media(tmp_path / "a/x_0.mkv", wave=tone(0.5), pictures=grey_ramp(3))
    sound = write_media(tmp_path / "b/x_0.mkv", wave=tone(0.5))
    found = MediaIndex([tmp_path]).find(_youtube("x", 0))
    assert (found.audio, found.frames) == (sound, (both,))


def test_any_suffix_is_read_by_content(tmp_path: Path) -> None:
    film = write_media(tmp_path / "x_0.ts", wave=tone(0.5), pictures=grey_ramp(3))
    sound = write_media(tmp_path / "y_0.aiff", wave=tone(0.5), codec="pcm_s16be")
    _touch(tmp_path, "x_0.txt", "y_0.json", "z_0.description", "w_0.mxf")
    index = MediaIndex([tmp_path])
    assert (index.find(_youtube("x", 0)).audio, index.find(_youtube("x", 0)).frames) == (film, (film,))
    assert (index.find(_youtube("y", 0)).audio, index.find(_youtube("y", 0)).frames) == (sound, ())
    assert not index.find(_youtube("z", 0)).found
    assert index.find(_youtube("w", 0)).found  # to be read, and named as broken


def test_files_that_are_known_by_suffix_are_not_opened(tmp_path: Path, unopened: None) -> None:
    _touch(tmp_path, "a_0.wav", "a_0.mp4", "a_0.xyz", "b_0.mp4", "c_0.flac", "d_0.ogg", "d_0.jpg", "e_0.xyz")
    clips, missing = find_clips([_youtube(name, 0) for name in "abcd"], MediaIndex([tmp_path]))
    assert [clip.id for clip in clips] == ["a_0", "b_0", "c_0", "d_0"]
    assert missing == []


def test_links_in_circles_pipes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    _touch(tmp_path, "deep/a_0.wav", ".trash/b_0.wav", "deep/._c_0.wav", "out/d_0.wav")
    (tmp_path / "deep/again").symlink_to(tmp_path)
    (tmp_path / "deep/self").symlink_to(tmp_path / "deep/self")
    (tmp_path / "e_0.wav").symlink_to(tmp_path / "gone.wav")
    os.mkfifo(tmp_path / "f_0.wav")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "g_0.wav"))
    clips, missing = find_clips(
        [_youtube(name, 0) for name in "abcdefg"], MediaIndex([tmp_path], exclude=tmp_path / "out")
    )
    assert [clip.audio for clip in clips] == [tmp_path / "deep/a_0.wav"]
    assert missing == ["b_0", "c_0", "d_0", "e_0", "f_0", "g_0"]


def test_a_linked_folder_is_searched_under_both_names(tmp_path: Path) -> None:
    _touch(tmp_path, "real/a.wav", "elsewhere/b.wav")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "real")
    (tmp_path / "data/other").symlink_to(tmp_path / "real")
    entries = [Entry(f"{place}/a", ["x"], file=f"{place}/a.wav") for place in ("link", "other")]
    clips, missing = find_clips(entries, MediaIndex([tmp_path / "data"]))
    assert [clip.audio for clip in clips] == [tmp_path / "data/link/a.wav", tmp_path / "data/other/a.wav"]
    assert missing == []


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_names_are_compared_in_one_normal_form(tmp_path: Path, form: str, listed: str) -> None:
    on_disk, in_file = (unicodedata.normalize(way, "Café Ångström.wav") for way in (form, listed))
    _touch(tmp_path, on_disk)
    path = write_csv(tmp_path / "test.csv", ("file_name", "caption"), [(in_file, "x")])
    clips, _ = find_clips(read_captions(path), MediaIndex([tmp_path]))
    assert [(clip.id, clip.audio) for clip in clips] == [("Café Ångström", tmp_path / on_disk)]


def test_bytes_that_are_no_utf8_are_read_as_western_letters(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(b"x")
    assert MediaIndex([tmp_path]).find(Entry("café", ["x"], file="café.wav")).audio == path


def test_names_keep_their_case_and_their_blanks(tmp_path: Path) -> None:
    _touch(tmp_path, " a.wav", "a.wav", "B.wav", "c.wav", "-d_0.wav")
    entries = [Entry(name, ["x"], file=f"{name}.wav") for name in (" a", "a", "b", " c")]
    clips, missing = find_clips([*entries, _youtube("-d", 0)], MediaIndex([tmp_path]))
    assert [clip.audio.name for clip in clips] == [" a.wav", "a.wav", "c.wav", "-d_0.wav"]
    assert missing == ["b"]


def test_the_file_that_is_named_comes_before_others_of_its_stem(tmp_path: Path) -> None:
    _touch(tmp_path, "x.flac", "x.wav", "deep/y.flac", "deep/y.wav", "z.flac")
    path = write_csv(tmp_path / "test.csv", ("file_name", "caption"), [("x.wav", 1), ("y.wav", 2), ("z.wav", 3)])
    clips, _ = find_clips(read_captions(path), MediaIndex([tmp_path]))
    assert [clip.audio.name for clip in clips] == ["x.wav", "y.wav", "z.flac"]
    path = write_csv(
        tmp_path / "test.csv", ("file_name", "caption"), [("x.wav", 1), ("x.flac", 2), ("z.wav", 3), ("z.mp3", 4)]
    )
    clips, missing = find_clips(read_captions(path), MediaIndex([tmp_path]))
    assert [(clip.id, clip.audio.name) for clip in clips] == [("x.wav", "x.wav"), ("x.flac", "x.flac")]
    assert missing == ["z.wav", "z.mp3"]


def test_a_dot_in_a_name_is_not_always_of_a_suffix(tmp_path: Path) -> None:
    _touch(tmp_path, "clip v1.2.wav", "clip v1.3.wav", "deep/Mr. Fox.mp4", "deep/take.a.wav", "deep/take.b.wav")
    rows = [("clip v1.2", 1), ("clip v1.3", 2), ("Mr. Fox", 3), ("take.a", 4), ("take.b", 5)]
    clips, missing = find_clips(
        read_captions(write_csv(tmp_path / "test.csv", ("file_name", "caption"), rows)), MediaIndex([tmp_path])
    )
    assert [(clip.id, clip.audio.stem) for clip in clips] == [(name, name) for name, _ in rows]
    assert missing == []


def test_y_before_an_id_is_not_taken_from_another_clip(tmp_path: Path) -> None:
    _touch(tmp_path, "Yabc_30.wav")
    index = MediaIndex([tmp_path])
    assert [c.id for c in find_clips([_youtube("abc", 30)], index)[0]] == ["abc_30"]
    assert [c.id for c in find_clips([_youtube("abc", 30), _youtube("Yabc", 30)], index)[0]] == ["Yabc_30"]


def test_features_are_found_under_the_file_name_of_an_id(tmp_path: Path) -> None:
    ids = ["dog/1", "-abc_30", "..", "7"]
    for name in ids:
        _touch(tmp_path, f"visual_feature/{file_name(name)}.npy")
    _touch(tmp_path, "visual_feature/cat/1.npy", "visual_feature/-old_0.npy")
    index = MediaIndex([tmp_path])
    for entry in (
        Entry("dog/1", file="dog/1.wav"),
        _youtube("-abc", 30),
        Entry("..", names=[".."]),
        Entry("7", file="a.wav"),
    ):
        assert index.find(entry).features == tmp_path / f"visual_feature/{file_name(entry.id)}.npy"
    assert index.find(Entry("cat/1", file="cat/1.wav")).features == tmp_path / "visual_feature/cat/1.npy"
    assert index.find(_youtube("-old", 0)).features == tmp_path / "visual_feature/-old_0.npy"


def test_parts_of_one_recording_are_cut_at_their_starts(tmp_path: Path) -> None:
    _touch(tmp_path, "whole.mp4", "mixed.mp4", "mixed_30.wav", "cut_5.wav", "cut_30000_40000.wav", "alone.wav")
    entries = [_youtube(*key) for key in (("whole", 30), ("whole", 90.5), ("cut", 5), ("cut", 30), ("alone", 7))]
    clips, _ = find_clips(entries, MediaIndex([tmp_path]))
    assert [(clip.id, clip.start, clip.seconds, clip.if_longer) for clip in clips] == [
        ("whole_30", 30.0, 10.0, False),
        ("whole_90.5", 90.5, 10.0, False),
        ("cut_5", None, None, False),
        ("cut_30", None, None, False),
        ("alone_7", 7.0, 10.0, True),
    ]
    assert clips[0].audio == clips[1].audio == tmp_path / "whole.mp4"
    assert [settled(clip) for clip in clips[:4]] == clips[:4]  # without opening anything


def test_an_image_or_features_of_several_starts_are_given_to_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _touch(tmp_path, "a.jpg", "a.npy", "a_30.wav", "a_90.wav", "b.jpg", "b.npy")
    clips, _ = find_clips([_youtube("a", 30), _youtube("a", 90), _youtube("b", 5)], MediaIndex([tmp_path]))
    assert [(clip.audio and clip.audio.name, len(clip.frames), clip.features is None) for clip in clips] == [
        ("a_30.wav", 0, True),
        ("a_90.wav", 0, True),
        (None, 1, False),
    ]
    assert "2 clips share an image or features" in caplog.text


def test_a_lone_file_is_cut_only_if_it_is_longer_than_a_clip(tmp_path: Path) -> None:
    short, long = (write_media(tmp_path / f"{n}.wav", wave=tone(n), codec="pcm_s16le") for n in (10, 12))
    clip = Clip("x", (), short, start=30.0, seconds=10.0, if_longer=True)
    assert settled(clip) == Clip("x", (), short)
    assert settled(Clip("x", (), long, start=1.0, seconds=10.0, if_longer=True)) == Clip(
        "x", (), long, start=1.0, seconds=10.0
    )
    mixed = Clip("x", (), short, (long,), start=30.0, seconds=10.0, if_longer=True)
    with pytest.raises(
        MediaError, match=r"12\.wav holds more than the clip x, and .*10\.wav the clip alone; cut 12\.wav"
    ):
        settled(mixed)


def test_a_start_decides_between_rows_of_one_file(tmp_path: Path) -> None:
    _touch(tmp_path, "x.wav", "y_10.wav")
    rows = [("x.wav", 30, "one"), ("x.wav", 90, "two"), ("y_10.wav", 10, "three")]
    path = write_csv(tmp_path / "test.csv", ("file_name", "start_time", "caption"), rows)
    clips, _ = find_clips(read_captions(path), MediaIndex([tmp_path]))
    assert [(c.id, c.start, c.if_longer) for c in clips] == [
        ("x_30", 30, False),
        ("x_90", 90, False),
        ("y_10", None, False),
    ]


def test_a_name_that_lies_in_several_folders_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(tmp_path, "cat/1.ogg", "dog/1.ogg", "videos/2.mp4", "deep/2.mp4")
    entries = [
        Entry("1", ["x"], file="1.ogg"),
        Entry("2", ["x"], file="2.mp4"),
        Entry("dog/1", ["x"], file="dog/1.ogg"),
    ]
    clips, _ = find_clips(entries[1:], MediaIndex([tmp_path]))
    assert caplog.text == ""
    clips, _ = find_clips(entries, MediaIndex([tmp_path]))
    assert [clip.audio for clip in clips][::2] == [tmp_path / "cat/1.ogg", tmp_path / "dog/1.ogg"]
    assert "1 clips have several files of their name" in caplog.text
