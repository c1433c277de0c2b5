"""Reading sound and pictures from the files that users really have."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from avcap.media import MediaError, even_indices, read_media
from avcap.shards.item import pack, unpack
from avcap.shards.manifest import Clip
from avcap.shards.reading import clip_of, read_item
from tests.media_files import grey_ramp, heard, seen, tone, write_media


def _peak(wave: torch.Tensor, rate: int = 16_000) -> float:
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave))).abs()
    return float(spectrum.argmax()) * rate / len(wave)


def test_stereo_mp3_at_44100_becomes_16k_mono(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp3", wave=tone(2.0, 44_100), rate=44_100, channels=2, codec="libmp3lame")
    wave = heard(path)
    assert wave.dtype == torch.float32
    assert abs(len(wave) - 32_000) < 1_200  # an mp3 may carry its encoder's padding: below 75 ms
    assert _peak(wave) == pytest.approx(440.0, abs=1.0)
    assert float(wave[8_000:24_000].abs().max()) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_any_rate_is_resampled(tmp_path: Path, rate: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, tone(1.0, rate), rate, subtype="PCM_16")
    wave = heard(path)
    assert abs(len(wave) - 16_000) <= 2
    expected = torch.from_numpy(tone(1.0))
    n = min(len(wave), 16_000) - 400
    torch.testing.assert_close(wave[400:n], expected[400:n], atol=5e-3, rtol=0)  # 16-bit steps and the filter's ripple


def test_resampling_does_not_alias(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1.0, 48_000, hz=12_000.0), 48_000, subtype="FLOAT")
    assert float(heard(path)[400:-400].abs().max()) < 0.01  # 12 kHz would appear at 4 kHz


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(0.5), np.zeros(8_000, np.float32)], 1), 16_000, subtype="FLOAT")
    assert float(heard(path).abs().max()) == pytest.approx(0.15, abs=0.01)


def test_a_video_without_sound(tmp_path: Path) -> None:
    path = write_media(tmp_path / "silent.mp4", pictures=grey_ramp(10))
    media = read_media(path, [path], frames=4, size=32)
    assert media.waveform is None
    assert media.absent == [f"{path} has no audio track."]
    with pytest.raises(MediaError, match=r"silent\.mp4 has no audio track"):
        read_item(Clip("a", (), path), frames=0, size=8)
    assert seen(path, 4, 32).shape == (4, 3, 32, 32)


def test_a_sound_without_pictures(tmp_path: Path) -> None:
    path = write_media(tmp_path / "blind.mp4", wave=tone(1.0))
    with pytest.raises(MediaError, match=r"blind\.mp4 has no video track"):
        read_item(Clip("a", (), None, (path,)), frames=4, size=32)
    assert len(heard(path)) == pytest.approx(16_000, abs=1_100)


def test_a_sound_of_no_length(tmp_path: Path) -> None:
    path = tmp_path / "zero.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    with pytest.raises(MediaError, match=r"zero\.wav has an audio track without a single sample"):
        read_item(clip_of(path), frames=0, size=8)


@pytest.mark.parametrize("seconds", [0.3, 35.0])
def test_short_and_long_clips(tmp_path: Path, seconds: float) -> None:
    path = write_media(tmp_path / "a.mp4", wave=tone(seconds), pictures=grey_ramp(max(2, int(seconds * 5)), 16, 16))
    assert len(heard(path)) == pytest.approx(seconds * 16_000, abs=1_100)
    assert seen(path, 20, 16).shape == (20, 3, 16, 16)


def test_max_seconds_cuts_the_sound(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", wave=tone(5.0))
    assert len(heard(path, seconds=1.5)) == 24_000


def test_frames_are_spread_over_the_whole_clip_though_the_video_ends_before(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", wave=tone(4.0), pictures=grey_ramp(10))  # 2 s of 5 frames a second
    item = read_item(clip_of(path), frames=4, size=16)
    assert item.duration == item.video_seconds == pytest.approx(4.0, abs=0.1)
    assert item.frames_time.tolist() == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.1)
    assert item.frames.float().mean((1, 2, 3)).tolist() == pytest.approx([30, 80, 100, 100], abs=4)
    again = unpack(pack(item), frames=1, choose=lambda total, _: [total - 1])
    assert again.frames_time.tolist() == pytest.approx([3.5], abs=0.1)
    assert read_item(clip_of(path), frames=2, size=16, max_seconds=1.0).frames_time.tolist() == [0.25, 0.75]


def test_max_seconds_keeps_the_pictures_to_what_is_heard(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", pictures=grey_ramp(20))  # 5 pictures a second
    greys = seen(path, 2, 16, seconds=2.0).float().mean((1, 2, 3))
    assert greys.tolist() == pytest.approx([30, 80], abs=4)  # the pictures at 0.5 and 1.5 s
    assert torch.equal(seen(path, 2, 16, seconds=9.0), seen(path, 2, 16))


def test_a_truncated_mp4_is_named(tmp_path: Path) -> None:
    whole = write_media(tmp_path / "whole.mp4", wave=tone(2.0), pictures=grey_ramp(10)).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])  # the index at the end is lost
    for read in (heard, lambda p: seen(p, 4, 32), clip_of):
        with pytest.raises(MediaError, match=r"cut\.mp4 is not a readable media file"):
            read(path)


def test_a_truncated_mp4_with_its_index_in_front_gives_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
    write_media(path, wave=tone(4.0), pictures=list(noise), options={"movflags": "faststart"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert 8_000 < len(heard(path)) < 60_000
    assert seen(path, 4, 32).shape == (4, 3, 32, 32)


def test_no_media_at_all_and_no_file(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("not a video")
    with pytest.raises(MediaError, match=r"a\.mp4 is not a readable"):
        heard(text)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*b\.mp4"):
        seen(tmp_path / "b.mp4", 1, 8)


def test_frames_come_from_the_middle_of_equal_parts(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", pictures=grey_ramp(20), fps=5)  # 4 s; grey 10 (k + 1) at 0.2 k s
    frames = seen(path, 4, 32)  # at 0.5, 1.5, 2.5, 3.5 s: pictures 2, 7, 12, 17
    assert frames.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([30, 80, 130, 180], abs=4)
    more = seen(path, 40, 32).float().mean(dim=(1, 2, 3))
    assert (more.diff() >= -4).all()
    assert len(more) == 40


def test_the_short_side_is_resized_and_the_centre_cropped(tmp_path: Path) -> None:
    picture = np.zeros((50, 200, 3), np.uint8)
    picture[:, 75:125] = 255  # the central square
    Image.fromarray(picture).save(tmp_path / "a.png")
    frames = seen(tmp_path / "a.png", 2, 25)
    assert frames.shape == (2, 3, 25, 25)
    assert frames[:, :, :, 2:-2].float().mean() > 250


def test_pictures_in_place_of_a_video(tmp_path: Path) -> None:
    paths = []
    for k, picture in enumerate(grey_ramp(10)):
        paths.append(tmp_path / f"{k}.png")
        Image.fromarray(picture).save(paths[-1])
    assert seen(paths, 2, 16)[:, 0, 0, 0].tolist() == [30, 80]
    assert seen(paths[0], 3, 16)[:, 0, 0, 0].tolist() == [10, 10, 10]
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(MediaError, match=r"bad\.jpg is not a readable image"):
        seen(tmp_path / "bad.jpg", 1, 16)


def test_even_indices() -> None:
    assert even_indices(20, 20) == list(range(20))
    assert even_indices(20, 1) == [10]
    assert even_indices(2, 5) == [0, 0, 1, 1, 1]


def test_a_real_clip(shared_data: Path) -> None:
    path = shared_data / "clips" / "00W1lcxW-WU_40.000.mp4"
    assert len(heard(path)) / 16_000 == pytest.approx(10.0, abs=0.05)
    assert read_item(clip_of(path), frames=2, size=8).duration == pytest.approx(10.0, abs=0.1)
    frames = seen(path, 20, 224)
    assert frames.shape == (20, 3, 224, 224)
    assert not math.isclose(float(frames[0].float().std()), 0.0)
