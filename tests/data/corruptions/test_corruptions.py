"""What each corruption does to a clip, and on what it depends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avcap.data.collate import collate
from avcap.data.corruptions import (
    BlackPictures,
    BlurredPictures,
    Corruption,
    CorruptionSource,
    DroppedPictures,
    DroppedSound,
    NoisyPictures,
    NoisySound,
    ShiftedPictures,
    ShiftedSound,
    SilentSound,
    SmearedSound,
    SwappedPictures,
    SwappedSound,
    suite,
)
from avcap.data.corruptions.clips import CorruptedClips
from avcap.data.frame_sampling import FrameChoice
from avcap.frontends import Inputs, KaldiFbank
from avcap.shards.item import Item

SAMPLES = 16_000
INPUTS = Inputs(KaldiFbank(16, target_length=96))


class FakeShards:
    """Clips made from their numbers; every third lacks sound, the last pictures."""

    folder = Path("fake")

    def __init__(self, clips: int = 7) -> None:
        self.ids = [f"clip{i}_0" for i in range(clips)]

    def __len__(self) -> int:
        return len(self.ids)

    def require_rate(self, frontend: object) -> None:
        """All clips have 16 kHz."""

    def item(
        self,
        index: int,
        *,
        streams: tuple[str, ...] = ("waveform", "frames", "visual_features"),
        frames: int | None = None,
        choose: object = None,
    ) -> Item:
        generator = torch.Generator().manual_seed(index)
        wave = torch.randn(SAMPLES, generator=generator) * 0.1
        item = Item(self.ids[index], [f"caption {index}"], 1.0)
        if "waveform" in streams and index % 3 != 2:
            item.waveform = wave
        if "frames" in streams and index < len(self) - 1:
            item.frames = torch.randint(1, 256, (10, 3, 8, 8), generator=generator, dtype=torch.uint8)
            if frames:
                item.frames = item.frames[list(choose(10, frames))]
        if "visual_features" in streams:
            item.visual_features = torch.randn(10, 4, generator=generator)
        return item


def corrupt(corruption: Corruption, index: int = 0, shards: FakeShards | None = None) -> tuple[Item, Item]:
    """A clip and the same clip spoilt."""
    shards = shards or FakeShards()
    item = shards.item(index)
    before = {k: getattr(item, k).clone() for k in ("waveform", "frames") if getattr(item, k) is not None}
    source = CorruptionSource(torch.Generator().manual_seed(5), lambda _: shards.item(index + 1))
    out = corruption(item, source)
    assert all(torch.equal(getattr(item, k), x) for k, x in before.items())  # the clip itself is left as it is
    return item, out


def power(wave: torch.Tensor) -> float:
    return float(wave.double().square().mean())


def test_silence_is_digital_silence_of_the_same_length():
    item, out = corrupt(SilentSound())
    assert torch.equal(out.waveform, torch.zeros(SAMPLES))
    assert torch.equal(out.frames, item.frames)


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
def test_the_signal_to_noise_ratio_is_exact(snr: float, colour: str):
    """To 1e-4 dB: float32 samples of the sum."""
    item, out = corrupt(NoisySound(snr, colour=colour))
    ratio = power(item.waveform) / power(out.waveform - item.waveform)
    assert 10 * math.log10(ratio) == pytest.approx(snr, abs=1e-4)


def test_noise_leaves_a_silent_clip_silent():
    silent = Item("a", waveform=torch.zeros(1_000))
    assert not NoisySound(0.0)(silent, CorruptionSource(torch.Generator(), lambda _: silent)).waveform.any()


def test_black_pictures_and_empty_features():
    item, out = corrupt(BlackPictures())
    assert not out.frames.any()
    assert out.frames.dtype == torch.uint8
    assert not out.visual_features.any()
    assert torch.equal(out.waveform, item.waveform)


def test_noise_grows_with_its_level_and_is_the_same_noise():
    clean = FakeShards().item(0).waveform
    noises = [corrupt(NoisySound(snr))[1].waveform - clean for snr in (20.0, 0.0, -5.0)]
    torch.testing.assert_close(noises[1], noises[0] * 10, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(noises[2], noises[1] * 10**0.25, rtol=1e-3, atol=1e-4)
    frames = [corrupt(NoisyPictures(d))[1].frames.float() for d in (0.02, 0.04)]
    clean = FakeShards().item(0).frames.float()
    inside = (clean > 60) & (clean < 195)
    weak, strong = ((x - clean)[inside] for x in frames)
    assert weak.std() == pytest.approx(0.02 * 255, rel=0.1)
    assert torch.corrcoef(torch.stack([weak, strong]))[0, 1] > 0.98
    _, out = corrupt(NoisyPictures(0.5))
    features = FakeShards().item(0).visual_features
    assert (out.visual_features - features).std() == pytest.approx(
        0.5 * float(features.square().mean().sqrt()), rel=0.3
    )


def test_pink_noise_has_less_power_at_high_frequencies():
    _, white = corrupt(NoisySound(-10.0))
    _, pink = corrupt(NoisySound(-10.0, colour="pink"))
    louder = KaldiFbank(16).features(pink.waveform) - KaldiFbank(16).features(white.waveform)
    assert louder[:, 0].mean() > 1
    assert louder[:, -1].mean() < -1
    assert NoisySound(-10.0, colour="pink").name == "audio_noise_pink-10dB"


def test_smearing_keeps_energy_and_loses_rhythm():
    """A tone that is on for every second tenth of a second: the energies of its parts become equal."""
    time = torch.arange(2 * SAMPLES) / SAMPLES
    wave = 0.3 * torch.sin(2 * math.pi * 440 * time) * ((10 * time).long() % 2 == 0)
    item = Item("a", waveform=wave)
    out = SmearedSound(0.2)(item, CorruptionSource(torch.Generator().manual_seed(0), lambda _: item))
    assert out.waveform.shape == wave.shape
    before, after = (x.view(20, -1).square().mean(1)[4:-4] for x in (wave, out.waveform))
    assert after.std() / after.mean() < 0.35 * before.std() / before.mean()
    assert power(out.waveform) == pytest.approx(power(wave), rel=0.3)
    loudest = torch.fft.rfft(out.waveform).abs().argmax() / 2  # in Hz: 2 s of sound
    assert loudest == pytest.approx(440, abs=40)  # the spectrum is blurred by the window alone


def test_blur_keeps_a_uniform_picture_and_loses_detail():
    item = Item("a", frames=torch.full((2, 3, 8, 12), 77, dtype=torch.uint8))
    source = CorruptionSource(torch.Generator(), lambda _: item)
    assert torch.equal(BlurredPictures(0.2)(item, source).frames, item.frames)
    point = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    point[:, :, 4, 6] = 255
    blurred = BlurredPictures(0.1)(Item("a", frames=point), source).frames[0, 0].float()
    assert blurred.argmax() == 4 * 9 + 6
    assert 0 < blurred[4, 5] == blurred[5, 6] < blurred[4, 6]
    assert BlurredPictures.inputs == ("frames",)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_dropped_parts(share: float):
    _, sound = corrupt(DroppedSound(share))
    lost = sound.waveform.view(20, -1).eq(0).all(1)
    assert int(lost.sum()) == round(20 * share)
    item, pictures = corrupt(DroppedPictures(share))
    black = (pictures.frames == 0).flatten(1).all(1)
    assert int(black.sum()) == round(share * 10)
    assert torch.equal(pictures.frames[~black], item.frames[~black])
    assert torch.equal((pictures.visual_features == 0).all(1), black)


@pytest.mark.parametrize("seconds", [0.3, -0.3, 5.0])
def test_shifts_go_the_same_way_in_both_streams(seconds: float):
    item, sound = corrupt(ShiftedSound(seconds))
    later = max(-SAMPLES, min(SAMPLES, round(SAMPLES * seconds)))
    quiet, wave = torch.zeros(abs(later)), item.waveform
    expected = torch.cat([quiet, wave[: SAMPLES - later]]) if later > 0 else torch.cat([wave[-later:], quiet])
    assert torch.equal(sound.waveform, expected)
    item, pictures = corrupt(ShiftedPictures(seconds))  # 10 pictures in a second
    places = max(-10, min(10, round(10 * seconds)))
    kept = item.frames[: 10 - places] if places > 0 else item.frames[-places:]
    moved = pictures.frames[places:] if places > 0 else pictures.frames[:places]
    assert torch.equal(moved, kept)
    assert int((pictures.frames == 0).flatten(1).all(1).sum()) == abs(places)


def test_pictures_of_unknown_length_are_not_shifted():
    item = Item("a", frames=torch.ones(4, 3, 2, 2, dtype=torch.uint8))
    assert math.isnan(item.duration)
    out = ShiftedPictures(1.0)(item, CorruptionSource(torch.Generator(), lambda _: item))
    assert torch.equal(out.frames, item.frames)


def test_a_clip_without_the_stream_stays_as_it_is():
    nothing = Item("a", ["x"], 1.0)
    source = CorruptionSource(torch.Generator(), lambda _: nothing)
    for corruptions in suite().values():
        for corruption in corruptions:
            assert corruption(nothing, source) == nothing


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DroppedSound(0.0), "share must be above 0"),
        (lambda: DroppedPictures(1.5), "got 1.5"),
        (lambda: NoisySound(0.0, colour="brown"), "choose white or pink"),
        (lambda: NoisyPictures(0.0), "deviation must be above 0"),
        (lambda: SmearedSound(-1.0), "seconds must be above 0"),
        (lambda: BlurredPictures(0.0), "sigma must be above 0"),
    ],
)
def test_bad_settings_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


# -- over a split ---------------------------------------------------------------------------------------------------


def clips(*corruptions: Corruption, seed: int = 0, **settings) -> CorruptedClips:
    return CorruptedClips(FakeShards(), INPUTS, corruptions=corruptions, seed=seed, **settings)


def test_without_corruptions_the_clips_are_those_of_an_evaluation():
    from avcap.data.dataset import ClipDataset

    for sampling in ("even", "centre"):
        plain = ClipDataset(FakeShards(), INPUTS, frames=FrameChoice(4, sampling))
        ours = clips(frames=FrameChoice(4, sampling))
        for a, b in zip((plain[i] for i in range(7)), (ours[0, i] for i in range(7)), strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a)


def test_chance_depends_on_seed_and_clip_alone():
    def rows(seed: int, **settings) -> list:
        return [clips(NoisySound(0.0), NoisyPictures(0.2), seed=seed, **settings)[7, i] for i in (0, 1, 3)]

    def same(a: list, b: list) -> list[bool]:
        return [
            torch.equal(x["audio"], y["audio"]) and torch.equal(x["frames"], y["frames"])
            for x, y in zip(a, b, strict=True)
        ]

    assert same(rows(0), rows(0, limit=4)) == [True] * 3
    assert same(rows(0), rows(1)) == [False] * 3
    noises = [(x["audio"] - clips()[i]["audio"]) for x, i in zip(rows(0), (0, 1, 3), strict=True)]
    assert not torch.equal(noises[0], noises[1])


@pytest.mark.parametrize("stream", ["audio", "video"])
def test_a_swap_gives_every_clip_the_stream_of_another(stream: str):
    data = clips(SwappedSound() if stream == "audio" else SwappedPictures())
    name = "audio" if stream == "audio" else "visual_features"
    own = [clips()[i].get(name) for i in range(7)]
    got = [data[i].get(name) for i in range(7)]
    partners = []
    for i, (mine, given) in enumerate(zip(own, got, strict=True)):
        if mine is None:
            assert given is None
            continue
        matches = [j for j, x in enumerate(own) if x is not None and torch.equal(x, given)]
        assert len(matches) == 1
        assert matches[0] != i
        partners += matches
    if stream == "video":  # all clips have features: a permutation of the split
        assert sorted(partners) == list(range(7))
    assert [clips(*data.corruptions, limit=3)[i]["references"] for i in range(3)] == [
        [f"caption {i}"] for i in range(3)
    ]


def test_a_swap_without_another_clip_is_an_error():
    lonely = CorruptedClips(FakeShards(1), INPUTS, corruptions=[SwappedSound()])
    with pytest.raises(ValueError, match="No other clip of fake has audio to swap with clip0_0"):
        lonely[0]


def test_the_suite_has_both_streams_in_every_family():
    families = {}
    for name, corruptions in suite().items():
        if len(corruptions) == 1:
            assert corruptions[0].name == name
            families.setdefault(corruptions[0].family, []).append(corruptions[0].stream)
    assert set(families) == {"suppress", "swap", "noise", "blur", "drop", "shift"}
    assert all(streams.count("audio") == streams.count("video") for streams in families.values())
    batch = collate([clips(*suite()["both_suppress"])[i] for i in range(3)])
    assert batch["audio"].shape[:2] == (3, 96)
    assert not batch["frames"].any()


def test_swapped_pictures_bring_their_times():
    shards = FakeShards()
    item, other = (replace(shards.item(index), frames_time=torch.arange(10.0) + index) for index in (0, 1))
    out = SwappedPictures()(item, CorruptionSource(torch.Generator(), lambda _: other))
    assert torch.equal(out.frames_time, other.frames_time)


def test_pictures_are_taken_with_their_times():
    item = replace(FakeShards().item(0), frames_time=torch.arange(10.0))
    frames = item.frames
    item.take_frames(lambda total, count: [total - 1] * count, 2)
    assert torch.equal(item.frames, frames[[9, 9]])
    assert item.frames_time.tolist() == [9, 9]
