"""What other people's files are made like: each kind is generated here, and what is right for it is known."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
import torch
from av.stream import Disposition
from PIL import Image, ImageCms

from avcap.cli import main
from avcap.media import Media, MediaError, read_media, streams_of
from avcap.media.film import Film
from avcap.media.sound import Recording, mono_weights
from avcap.shards.manifest import Clip
from avcap.shards.reading import clip_of, parse_files, read_clip, read_item, whole_names
from tests.media_files import (
    BLUE,
    FLASH,
    RED,
    flash_sound,
    flash_times,
    tone,
    tone_times,
    two_colours,
    write_film,
    write_media,
)

RAW = {"sound": None}


def look(path: Path, frames: int = 40, size: int = 32) -> Media:
    return read_clip(clip_of(path), frames=frames, size=size)


def colour(frame: torch.Tensor, rows: slice, columns: slice) -> list[int]:
    return frame[:, rows, columns].float().mean((1, 2)).round().int().tolist()


def corners(media: Media) -> list[list[int]]:
    """Colours above, below, left and right in the first frame."""
    middle, low, high = slice(13, 19), slice(2, 7), slice(25, 30)
    assert media.frames is not None
    places = ((low, middle), (high, middle), (middle, low), (middle, high))
    return [colour(media.frames[0], *place) for place in places]


def close(found: list[int], wanted: tuple[int, int, int], within: int = 8) -> bool:
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= within


# One clock


@pytest.mark.parametrize(
    ("name", "how"),
    {
        "plain.mp4": {},
        "plain.3gp": {},
        "plain.flv": {},
        "b_frames.avi": {"sound": "pcm_s16le"},
        "xvid.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
        "program_stream.mpg": {"codec": "mpeg2video", "sound": "mp2"},
        "open_gop.ts": {"options": {"g": "10", "x264-params": "open-gop=1:bframes=3"}},
        "fragments.mp4": {"muxing": {"movflags": "frag_keyframe+empty_moov"}},
        "begins_at_100.mkv": {"clock": 100.0},
        "begins_at_100.ts": {"clock": 100.0},
        "wraps.ts": {"clock": 2**33 / 90_000 - 1.7},
        "late_sound.mp4": {"sound_from": 0.6},
        "late_sound.mkv": {"sound_from": 0.6},
        "late_sound.ts": {"sound_from": 0.6},
        "late_video.mp4": {"video_from": 0.6},
        "late_video.ts": {"video_from": 0.6},
        "variable_rate.mkv": {"keep": lambda k: k in (0, 1, 2, 25, 35, 49)},
        "variable_rate.mp4": {"keep": lambda k: k in (0, 1, 2, 25, 35, 49)},
        "no_stamps.h264": {**RAW, "container": "h264"},
        "no_stamps.m4v": {**RAW, "container": "m4v", "codec": "mpeg4"},
        "ten_bits.mkv": {"pix_fmt": "yuv420p10le"},
        "vp9.webm": {**RAW, "codec": "libvpx-vp9"},
        "video.bin": {"container": "mp4"},
    }.items(),
)
def test_flash_and_tone_are_where_a_player_shows_and_plays_them(name: str, how: dict, tmp_path: Path) -> None:
    path = write_film(tmp_path / name, **how)
    media = look(path)
    lead = (
        0.08 if name == "fragments.mp4" else 0.03
    )  # what an encoder puts before the sound, where the container keeps it
    assert media.seconds == pytest.approx(2.0, abs=lead + 0.03)
    assert len(media.frame_times) == 40
    first, last = flash_times(media.frames, media.frame_times)
    step = media.seconds / 40
    begin = media.starts["video"] - how.get("video_from", 0.0)  # of the film, on the clip's clock
    assert 0.0 <= begin <= lead
    late = 0.04 if name == "xvid.avi" else 0.002  # this container cannot say when its first frame is shown
    assert begin + FLASH[0] - 0.002 <= first < begin + FLASH[0] + step + late
    assert begin + FLASH[1] - step - 0.042 <= last < begin + FLASH[1] + late
    above, below, *_ = corners(media)
    assert close(above, RED)
    assert close(below, BLUE)
    if "sound" not in how or how["sound"] is not None:
        assert tone_times(media.waveform) == pytest.approx((begin + FLASH[0], begin + FLASH[1]), abs=0.028)
        assert len(media.waveform) == round(media.seconds * 16_000)


def test_silence_and_the_nearest_frame_stand_for_what_is_not_there(tmp_path: Path) -> None:
    late = look(write_film(tmp_path / "a.mkv", sound_from=0.6))
    assert not late.waveform[: round(0.55 * 16_000)].any()
    early = look(write_film(tmp_path / "b.mp4", video_from=1.2, video_until=1.6), frames=4)
    assert early.frames[0].float().mean() > 240  # the first frame of the video is white, and is shown before it, too
    assert close(colour(early.frames[-1], slice(2, 7), slice(13, 19)), RED)


def test_stamps_that_jump_where_recordings_were_joined(tmp_path: Path) -> None:
    one, other = write_film(tmp_path / "a.ts"), write_film(tmp_path / "b.ts", clock=500.0)
    path = tmp_path / "joined.ts"
    path.write_bytes(other.read_bytes() + one.read_bytes() + other.read_bytes())
    media = look(path, frames=120)
    assert media.seconds == pytest.approx(6.0, abs=0.15)
    white = [t for t, f in zip(media.frame_times, media.frames, strict=True) if f.float().mean() > 200]
    loud = torch.nonzero(media.waveform.abs() > 0.2).squeeze(1) / 16_000
    for k in range(3):  # the tone and the flash of each part come together
        part = (2.0 * k + 0.8, 2.0 * k + 1.8)
        seen, heard = ([float(t) for t in times if part[0] < t < part[1]] for times in (white, loud))
        assert heard[0] == pytest.approx(seen[0], abs=0.06)
        assert heard[-1] - heard[0] == pytest.approx(0.4, abs=0.01)
    assert "Its time stamps jump; what follows is joined on." in media.notes


def test_a_frame_that_stays_for_long_is_no_splice(tmp_path: Path) -> None:
    path = tmp_path / "slides.ts"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("mp2", rate=44_100, layout="mono")
        resampler = av.AudioResampler(audio.format.name, "mono", 44_100, frame_size=audio.frame_size)
        for second in range(24):
            if second % 12 == 0:
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 100 + 10 * second, np.uint8))
                frame.pts, frame.time_base = second * 25, Fraction(1, 25)
                out.mux(video.encode(frame))
            sound = av.AudioFrame.from_ndarray(tone(1.0, 44_100)[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 44_100, second * 44_100
            for piece in resampler.resample(sound):
                out.mux(audio.encode(piece))
        out.mux([*video.encode(), *audio.encode()])
    media = look(path, frames=4)
    assert media.seconds == pytest.approx(24.0, abs=0.2)
    assert media.frames.float().mean((1, 2, 3)).tolist() == pytest.approx([100, 100, 220, 220], abs=4)


def test_a_ribbon_of_an_image_does_not_fill_the_memory(tmp_path: Path) -> None:
    ribbon = np.zeros((2, 20_000, 3), np.uint8)
    ribbon[:, 9_990:10_010] = 255
    Image.fromarray(ribbon).save(tmp_path / "a.png")
    assert float(look(tmp_path / "a.png", frames=1, size=224).frames.float().mean()) > 250


@pytest.mark.parametrize("every", ["10", "250"])
def test_an_edit_list_cuts_the_beginning_off(every: str, tmp_path: Path) -> None:
    edited = {"avoid_negative_ts": "disabled"}
    media = look(write_film(tmp_path / "a.mp4", clock=-0.52, muxing=edited, options={"g": every}))
    assert media.seconds == pytest.approx(1.48, abs=0.03)
    assert tone_times(media.waveform) == pytest.approx((FLASH[0] - 0.52, FLASH[1] - 0.52), abs=0.003)
    white = flash_times(media.frames, media.frame_times)
    assert white == pytest.approx((FLASH[0] - 0.52 + 0.02, FLASH[1] - 0.52 - 0.02), abs=0.03)
    assert media.notes == []


def test_gaps_in_the_sound_are_silent_and_overlaps_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begin, hz in ((0.0, 500), (1.0, 1000), (1.3, 2000)):  # 0.5 s each: a gap, then an overlap
            frame = av.AudioFrame.from_ndarray(
                (tone(0.5, hz=hz) * 32_767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 16_000, round(begin * 16_000)
            out.mux(stream.encode(frame))
    media = look(path)
    assert media.seconds == pytest.approx(1.8, abs=0.01)
    assert not media.waveform[8_100:15_900].any()
    for second, hz in ((0.25, 500), (1.2, 1000), (1.65, 2000)):
        piece = media.waveform[round(second * 16_000) :][:1_600]
        assert float(torch.fft.rfft(piece).abs().argmax()) * 10 == hz


def test_a_part_of_a_long_recording_is_cut_out_exactly(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=5, options={"g": "50", "qp": "0"})
        video.width, video.height, video.pix_fmt = 16, 16, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=8_000, layout="mono")
        for second in range(60):
            for k in range(5 * second, 5 * second + 5):
                frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 4 * second + 2, np.uint8))
                frame.pts = k
                out.mux(video.encode(frame))
            wave = tone(1.0, 8_000, hz=1000) * (second % 10 == 0)
            frame = av.AudioFrame.from_ndarray((wave * 32_767).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8_000, second * 8_000
            out.mux(audio.encode(frame))
        out.mux(video.encode())
    for start, seconds in ((3.3, 2.0), (38.5, 4.0), (57.0, 10.0)):
        item = read_item(Clip("a", (), path, (path,), start=start, seconds=seconds), frames=4, size=16)
        assert item.duration == pytest.approx(min(seconds, 60 - start), abs=0.01)
        wanted = [int(start + time) for time in item.frames_time.tolist()]
        assert [round((float(f.float().mean()) - 2) / 4) for f in item.frames] == wanted
        whole = torch.arange(len(item.waveform)) / 16_000 + start
        assert (item.waveform.abs() > 0.05).float()[whole % 10 > 1.01].sum() == 0
        assert bool((item.waveform.abs() > 0.2).any()) == (start == 38.5)
    assert tone_times(read_media(path, frames=0, size=8, start=38.5, seconds=4.0).waveform)[0] == pytest.approx(
        1.5, abs=0.001
    )
    with pytest.raises(MediaError, match=r"begins at 99 s, but .*long\.mkv ends at 60\.000 s"):
        read_item(Clip("a", (), path, (path,), start=99.0), frames=4, size=16)


@pytest.mark.parametrize("suffix", ["ogg", "flac", "mp3", "ts"])
def test_a_part_of_a_long_sound(suffix: str, tmp_path: Path) -> None:
    wave = tone(50.0, 48_000, hz=1000) * (np.arange(50 * 48_000) >= 40 * 48_000)
    codec = {"ogg": "libopus", "flac": "flac", "mp3": "libmp3lame", "ts": "mp2"}[suffix]
    path = write_media(tmp_path / f"a.{suffix}", wave=wave, rate=48_000, codec=codec)
    media = read_media(path, frames=0, size=8, start=38.5, seconds=4.0)
    assert media.seconds == 4.0
    assert media.more
    assert tone_times(media.waveform)[0] == pytest.approx(1.5, abs=0.012)


def test_only_frames_that_are_needed_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "a.mp4", options={"g": "10", "bf": "2"})
    fed: list[bool] = []
    decode = Film._decode
    monkeypatch.setattr(
        Film, "_decode", lambda self, s, packet: fed.append(packet is not None) or decode(self, s, packet)
    )
    few = look(path, frames=5)
    assert sum(fed) < 30  # of 50
    every = [f for c in [av.open(str(path))] for f in c.decode(video=0)]
    for frame, time in zip(few.frames, few.frame_times, strict=True):
        shown = [f for f in every if f.time <= time][-1]
        assert (frame.float() - _small(shown.to_image())).abs().mean() < 2


def _small(image: Image.Image) -> torch.Tensor:
    image = image.crop((8, 0, 56, 48)).resize((32, 32), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


# What a player shows


@pytest.mark.parametrize(("degrees", "sides"), [(90, "left"), (180, "below"), (270, "right")])
def test_a_turned_video_is_upright(degrees: int, sides: str, tmp_path: Path) -> None:
    media = look(write_film(tmp_path / "a.mp4", prepare=lambda video, _: video.set_display_rotation(degrees)))
    above, below, left, right = corners(media)
    red = {"left": left, "right": right, "below": below, "above": above}[sides]
    assert close(red, RED)
    assert "The video is turned as its container says." in media.notes


def test_a_mirrored_video_is_shown_so(tmp_path: Path) -> None:
    def mirror(video: av.VideoStream, _: object) -> None:
        video.set_display_matrix((1 << 16, 0, 0, 0, -(1 << 16), 0, 0, 0, 1 << 30))

    above, below, *_ = corners(look(write_film(tmp_path / "a.mp4", prepare=mirror)))
    assert close(above, BLUE)
    assert close(below, RED)


def test_a_disc_is_round_whatever_the_shape_of_the_pixels(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :32]
    disc = np.where(((x * 2 - 32) ** 2 + (y - 32) ** 2 < 400)[..., None], 255, 0).astype(np.uint8).repeat(3, 2)
    film = tmp_path / "a.mp4"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=5)
        video.width, video.height, video.pix_fmt = 32, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for _ in range(5):
            out.mux(video.encode(av.VideoFrame.from_ndarray(disc)))
        out.mux(video.encode())
    Image.fromarray(disc).save(tmp_path / "a.png", dpi=(72, 144))
    Image.fromarray(disc).save(tmp_path / "a.jpg", dpi=(72, 144), quality=95)
    for path in (film, tmp_path / "a.png", tmp_path / "a.jpg"):
        inside = look(path, frames=1, size=64).frames[0, 0] > 128
        assert int(inside[32].sum()) == pytest.approx(40, abs=2)
        assert int(inside[:, 32].sum()) == pytest.approx(40, abs=2)


def test_full_range_and_the_matrix_of_the_colours_are_heeded(tmp_path: Path) -> None:
    def tag(video: av.VideoStream, _: object) -> None:
        video.codec_context.color_range, video.codec_context.colorspace = 2, 1

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
        tag(video, None)
        frame = av.VideoFrame(64, 48, "yuv444p")
        for plane, value in zip(frame.planes, (54, 99, 255), strict=True):  # red by BT.709 in full range
            plane.update(bytes([value]) * plane.buffer_size)
        frame.color_range, frame.colorspace = 2, 1
        out.mux(video.encode(frame))
        out.mux(video.encode())
    assert close(corners(look(path, frames=1))[0], (255, 0, 0), within=4)


def test_hdr_is_brought_to_what_a_screen_shows(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        video.codec_context.color_trc, video.codec_context.color_primaries = 16, 9
        for code in (64, 64 + round(0.5807 * 876), 64 + 876):  # black, white (203 cd/m²) and the most there is
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, value in zip(frame.planes, (code, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.color_trc, frame.color_primaries = 16, 9
            out.mux(video.encode(frame))
        out.mux(video.encode())
    media = look(tmp_path / "a.mkv", frames=3)
    assert media.frames.float().mean((1, 2, 3)).tolist() == pytest.approx([0, 254, 255], abs=2)
    assert media.notes == ["The video is HDR (PQ); what is brighter than white is clipped."]


def test_a_cover_is_never_the_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        video = out.add_stream("mpeg4", rate=5)
        for stream, fmt in ((cover, "yuvj420p"), (video, "yuv420p")):
            stream.width, stream.height, stream.pix_fmt = 64, 48, fmt
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8))))
        for _ in range(5):
            out.mux(video.encode(av.VideoFrame.from_ndarray(two_colours())))
        out.mux([*cover.encode(), *video.encode()])
    media = look(path, frames=2)
    assert (media.video_stream, close(corners(media)[0], RED)) == (1, True)

    song = tmp_path / "song.mp3"
    with av.open(str(song), "w") as out:
        audio = out.add_stream("libmp3lame", rate=16_000, layout="mono")
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 48, "yuvj420p", Disposition.attached_pic
        out.mux([*cover.encode(av.VideoFrame.from_ndarray(two_colours())), *cover.encode()])
        frame = av.AudioFrame.from_ndarray(tone(1.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(audio.format.name, "mono", 16_000, frame_size=audio.frame_size)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(audio.encode(piece))
        out.mux(audio.encode())
    assert streams_of(song) == {"audio"}
    assert look(song).frames is None


def test_the_default_tracks_are_taken_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        tracks = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(3)]
        for k, stream in enumerate(tracks):
            stream.disposition = Disposition.default if k == 1 else Disposition(0)
        for stream, hz in zip(tracks, (500, 1000, 2000), strict=True):
            wave = (tone(0.5, hz=hz) * 32_767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
    media = look(path)
    assert float(torch.fft.rfft(media.waveform[:1600]).abs().argmax()) * 10 == 1000
    assert (media.audio_stream, media.notes) == (1, ["Of 3 audio tracks track 1 is taken."])


# What a player plays


@pytest.mark.parametrize("layout", ["5.1", "5.1(side)", "6.1", "7.1", "quad"])
def test_surround_is_mixed_down_by_bs_775(layout: str, tmp_path: Path) -> None:
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    levels = {}
    for k, name in enumerate(names):
        with av.open(str(tmp_path / "a.wav"), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=16_000, layout=layout)
            wave = np.zeros((len(names), 8_000), np.float32)
            wave[k] = tone(0.5, level=1.0)
            samples = (wave.T.reshape(1, -1) * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout=layout)
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
        levels[name] = float(look(tmp_path / "a.wav").waveform.abs().max())
    front = levels["FL"]
    assert levels.pop("LFE", 0.0) == 0.0
    assert sum(levels.values()) == pytest.approx(1.0, abs=0.01)  # all at once just do not clip
    for name, level in levels.items():
        decibels = {"FL": 0, "FR": 0, "FC": 3, "BC": 0}.get(name, -3)  # the centre is in left and right, each at -3 dB
        assert 20 * np.log10(level / front) == pytest.approx(decibels, abs=0.1)


@pytest.mark.parametrize("channels", [3, 4, 7, 9, 16, 24, 64])
def test_any_number_of_channels(channels: int, tmp_path: Path) -> None:
    waves = np.zeros((8_000, channels), np.float32)
    waves[:, -1] = tone(0.5, level=0.9)
    soundfile.write(tmp_path / "a.wav", waves, 16_000, subtype="FLOAT")
    media = look(tmp_path / "a.wav")
    assert float(media.waveform.abs().max()) == pytest.approx(0.9 / channels, rel=0.02)
    assert media.notes == [f"The layout of its {channels} channels is unknown: they are averaged."]


def test_of_ambisonic_sound_the_omnidirectional_channel_is_heard() -> None:
    for layout, wanted in {
        "ambisonic 1": [1.0, 0, 0, 0],
        "ambisonic 1+stereo": [0.5, 0, 0, 0, 0.25, 0.25],
        "mono": [1.0],
        "1 channels (FL)": [1.0],
    }.items():
        weights, _ = mono_weights(tuple(channel.name for channel in av.AudioLayout(layout).channels))
        assert weights.tolist() == wanted


def test_channels_and_rate_that_change_in_mid_stream(tmp_path: Path) -> None:
    parts = []
    for layout, rate in (("mono", 44_100), ("stereo", 44_100), ("stereo", 48_000)):
        path = tmp_path / f"{len(parts)}.mp3"
        write_media(
            path,
            wave=tone(1.0, rate, hz=1000),
            rate=rate,
            channels=1 + (layout == "stereo"),
            codec="libmp3lame",
            options={"write_xing": "0"},
        )
        parts.append(path.read_bytes())
    (tmp_path / "a.mp3").write_bytes(b"".join(parts))
    media = look(tmp_path / "a.mp3")
    assert media.seconds == pytest.approx(3.0, abs=0.25)
    assert "Its channels or its rate change in mid-stream." in media.notes
    for second in (0.5, 1.6, 2.7):
        piece = media.waveform[round(second * 16_000) :][:1_600]
        assert float(torch.fft.rfft(piece).abs().argmax()) * 10 == 1000
        assert float(piece.abs().max()) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_no_number_is_refused_by_name(value: float, tmp_path: Path) -> None:
    wave = tone(1.0)
    wave[5_000] = value
    soundfile.write(tmp_path / "bad.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"bad\.wav holds NaN or infinity"):
        look(tmp_path / "bad.wav")


# Images


def upright(path: Path) -> list[list[int]]:
    return corners(look(path, frames=1))


@pytest.mark.parametrize(
    ("orientation", "red"), enumerate(["above", "above", "below", "below", "left", "right", "right", "left"], 1)
)
def test_images_are_turned_by_exif(orientation: int, red: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(two_colours(64, 64)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    sides = dict(zip(("above", "below", "left", "right"), upright(tmp_path / "a.jpg"), strict=True))
    assert close(sides[red], RED)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled(name: str, tmp_path: Path) -> None:
    Image.fromarray(np.repeat([32 * 257, 128 * 257], 32)[:, None].repeat(64, 1).astype(np.uint16)).save(tmp_path / name)
    above, below, *_ = upright(tmp_path / name)
    assert (above, below) == ([32] * 3, [128] * 3)


def test_floats_are_read_from_0_to_1_and_refused_beyond(tmp_path: Path) -> None:
    grey = np.repeat([0.25, 0.75], 32)[:, None].repeat(64, 1).astype(np.float32)
    Image.fromarray(grey).save(tmp_path / "a.tif")
    above, below, *_ = upright(tmp_path / "a.tif")
    assert (above, below) == ([64] * 3, [191] * 3)
    Image.fromarray(grey * 255).save(tmp_path / "b.tif")
    with pytest.raises(MediaError, match=r"b\.tif has values from 63\.75 to 191\.25"):
        upright(tmp_path / "b.tif")


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(two_colours(64, 64))
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((5, 5)))
    image.putalpha(Image.fromarray(np.repeat([0, 255], 32)[:, None].repeat(64, 1).astype(np.uint8)))
    image.save(tmp_path / "alpha.png")
    image.save(tmp_path / "alpha.webp", lossless=True)
    for name in ("palette.png", "alpha.png", "alpha.webp"):
        above, below, *_ = upright(tmp_path / name)
        assert close(above, (255, 255, 255))
        assert close(below, BLUE)


def test_other_kinds_of_colour_and_profiles(tmp_path: Path) -> None:
    image = Image.fromarray(two_colours(64, 64))
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "profile.png", icc_profile=profile)
    image.save(tmp_path / "damaged.png", icc_profile=b"no profile" * 20)
    image.save(tmp_path / "image.wav", format="BMP")  # the suffix tells nothing
    for name in ("cmyk.jpg", "profile.png", "damaged.png", "image.wav"):
        above, below, *_ = upright(tmp_path / name)
        assert close(above, RED)
        assert close(below, BLUE)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_is_a_video_in_time(name: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((32, 32, 3), value, np.uint8)) for value in (10, 100, 200)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=[100, 100, 800], loop=0)
    assert streams_of(tmp_path / name) == {"video"}
    media = look(tmp_path / name, frames=10)
    assert media.seconds == pytest.approx(1.0)
    assert media.frames.float().mean((1, 2, 3)).tolist() == pytest.approx([10, 100, *[200] * 8], abs=3)


# Files and names


def test_sound_and_video_in_files_of_each_others_suffix(tmp_path: Path) -> None:
    sound = tmp_path / "a.webm"
    soundfile.write(tmp_path / "a.wav", flash_sound(), 44_100)
    (tmp_path / "a.wav").rename(sound)
    video = write_film(tmp_path / "a.mp4", sound=None)
    assert (streams_of(sound), streams_of(video)) == ({"audio"}, {"video"})
    media = read_clip(clip_of((video, sound)), frames=40, size=32)
    assert tone_times(media.waveform) == pytest.approx(FLASH, abs=0.01)
    assert flash_times(media.frames, media.frame_times) == pytest.approx((FLASH[0] + 0.025, FLASH[1] - 0.025), abs=0.03)
    with pytest.raises(MediaError, match="A pair is a file with sound and an image or video"):
        clip_of((video, video))


@pytest.mark.parametrize("name", ["-a.mp4", "http:a.mp4", "a%03d.mp4", "é ü.mp4", os.fsdecode(b"odd\xff.mp4")])
def test_names_that_mean_something_elsewhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "plain.mp4").rename(name)
    assert look(Path(name), frames=1).seconds == pytest.approx(2.0, abs=0.03)


def test_what_is_no_file_never_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    (tmp_path / "page.txt").write_text("not a film\n" * 50)
    write_film(tmp_path / "photo.heic", container="mp4", muxing={"brand": "heic"})
    for path, why in {
        tmp_path / "photo.heic": "is a HEIC image; save it as JPEG",
        tmp_path / "pipe.mp4": "is a pipe or a device",
        Path("/dev/zero"): "is a pipe or a device",
        tmp_path: "is a folder",
        tmp_path / "empty.mp4": "is not a readable media file",
        tmp_path / "page.txt": "is not a readable|is text",
        tmp_path / "list.m3u8": "is not a readable|is text or a playlist",
    }.items():
        with pytest.raises(MediaError, match=why) as refused:
            look(path)
        assert str(path) in str(refused.value)


def test_time_stamps_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begin in (0, 40_000):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, begin * 16_000
            out.mux(stream.encode(frame))
    with pytest.raises(MediaError, match=r"a\.mkv jump by 39999 s"):
        look(path)


def test_pairs_are_told_from_names_with_a_plus(tmp_path: Path) -> None:
    for name in ("a+b.wav", "c.jpg", "d.wav"):
        (tmp_path / name).touch()
    given = [
        tmp_path / "a+b.wav",
        Path(f"{tmp_path}/a+b.wav+{tmp_path}/c.jpg"),
        Path(f"{tmp_path}/d.wav+{tmp_path}/c.jpg"),
    ]
    files = parse_files(given)
    assert files == [given[0], (tmp_path / "a+b.wav", tmp_path / "c.jpg"), (tmp_path / "d.wav", tmp_path / "c.jpg")]
    assert whole_names([*files, Path("x/d.wav"), Path("y/d.wav")])[1:] == [
        "a+b.wav+c.jpg",
        "d.wav+c.jpg",
        "d.wav",
        "d.wav-2",
    ]


# avcap data look


def test_look_writes_what_the_model_hears_and_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / "late.mp4", sound_from=0.6)
    sound, image = tmp_path / "s.ogg", tmp_path / "p.png"
    soundfile.write(sound, tone(1.0), 16_000, format="WAV")
    Image.fromarray(two_colours()).save(image)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "data",
                "look",
                str(film),
                str(tmp_path),
                f"{sound}+{image}",
                "--frames",
                "5",
                "--size",
                "32",
                "--out",
                str(out),
            ]
        )
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert printed.err == f"avcap: error: {tmp_path} is a folder; name a media file.\n"
    assert "sound: track 1, begins at 0.5" in printed.out
    facts = json.loads((out / "late.mp4/look.json").read_text())
    item = read_item(clip_of(film), frames=5, size=32)
    assert facts["seconds"] == pytest.approx(item.duration, abs=1e-4)
    assert facts["frame_times"] == pytest.approx(item.frames_time.tolist(), abs=1e-3)
    assert (facts["audio_stream"], facts["video_stream"], facts["notes"]) == (
        1,
        0,
        ["The sound begins 0.576 s after the video; silence before."],
    )
    wave, rate = soundfile.read(out / "late.mp4/sound.wav", dtype="float32")
    assert rate == 16_000
    assert np.abs(wave - item.waveform.numpy()).max() < 1e-6
    for k, frame in enumerate(item.frames):
        assert np.array_equal(
            np.asarray(Image.open(out / f"late.mp4/frames/{k:04d}.png")), frame.permute(1, 2, 0).numpy()
        )
    pair = json.loads((out / "s.ogg+p.png/look.json").read_text())
    assert (pair["seconds"], len(list((out / "s.ogg+p.png/frames").iterdir()))) == (1.0, 5)


# The same kinds in files that others made

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
FLASHES = "base.mp4 audio_late.mkv audio_late.mp4 cover_first.mkv interlaced.ts offset100.mkv raw.h264 rot90.mp4 rot180.mp4 two_tracks.mkv vfr.mp4"


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not distributed; put them in ../shared/cases to run this")
@pytest.mark.parametrize("name", FLASHES.split())
def test_the_flash_and_the_tone_of_the_cases(name: str) -> None:
    media = look(CASES / "media" / name)
    assert media.seconds == pytest.approx(4.0, abs=0.1)
    begin = media.starts["video"]
    white = flash_times(media.frames, media.frame_times)
    assert white == pytest.approx((begin + 2.05, begin + 2.45), abs=0.09)
    if media.waveform is not None:
        assert tone_times(media.waveform) == pytest.approx((begin + 2.0, begin + 2.5), abs=0.012)
    sides = dict(zip(("above", "below", "left", "right"), corners(media), strict=True))
    red, blue = {"rot90.mp4": ("left", "right"), "rot180.mp4": ("below", "above")}.get(name, ("above", "below"))
    assert close(sides[red], (254, 0, 0))
    assert close(sides[blue], (0, 0, 254))


def test_planes_that_are_not_there_are_refused(tmp_path: Path):
    """PyAV would read past the last plane, and the process die."""
    channels = [SimpleNamespace(name=f"USR{k}") for k in range(9)]
    layout, planar = SimpleNamespace(channels=channels, nb_channels=9), SimpleNamespace(name="fltp", is_planar=True)
    frame = SimpleNamespace(sample_rate=16_000, samples=4, layout=layout, format=planar, planes=[None] * 8)
    with pytest.raises(MediaError, match=r"a\.mkv has sound of 9 channels"):
        Recording(tmp_path / "a.mkv", 16_000, 0.0).add(frame, 0.0)


def test_a_damaged_header_of_features_is_refused(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float32))
    content = (tmp_path / "a.npy").read_bytes()
    for damaged in (content.replace(b"(2, 3)", b"(2, 3 "), content.replace(b"<f4", b"|S4"), content[:50]):
        (tmp_path / "a.npy").write_bytes(damaged)
        with pytest.raises(MediaError, match=r"a\.npy"):
            read_item(Clip("a", (), features=tmp_path / "a.npy"), frames=0, size=0)
