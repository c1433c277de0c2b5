"""Scenes: deterministic, exact in time, and told apart by the stream that the table names."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from avcap.scenes import KINDS, captions, compose, image_caption, image_captions, render
from avcap.scenes.drawings import LOOKS, sprites
from avcap.scenes.grammar import TEMPLATES
from avcap.scenes.kinds import LOOK_ALIKE, PLAIN, SOUND_ALIKE
from avcap.scenes.scene import generator
from avcap.scenes.sounds import SYNTHESISERS, synthesise

SCENES = [compose(0, index, split) for split in ("train", "val", "test") for index in range(120)]


def log_spectrum(audio: np.ndarray, bins: int = 40) -> np.ndarray:
    """Mean and deviation over time of a coarse log spectrum, with and without the level [2 * bins]."""
    windows = np.lib.stride_tricks.sliding_window_view(audio, 512)[::256] * np.hanning(512)
    power = np.abs(np.fft.rfft(windows)) ** 2
    edges = np.unique(np.geomspace(1, power.shape[1] - 1, bins + 1).astype(int))
    level = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    return np.concatenate([level.mean(0), level.std(0)])


def test_same_arguments_give_the_same_clip():
    one, two = compose(3, 17, "val"), compose(3, 17, "val")
    assert one == two
    for a, b in zip(render(one), render(two), strict=True):
        assert a.tobytes() == b.tobytes()
    assert captions(one, 5) == captions(two, 5)
    assert image_captions(one) == image_captions(two)


def test_seed_split_and_index_all_matter():
    ids = {compose(*arguments).id for arguments in ((0, 1, "train"), (1, 1, "train"), (0, 2, "train"), (0, 1, "test"))}
    assert len(ids) == 4


def test_ids_are_unique_across_splits():
    assert len({scene.id for scene in SCENES}) == len(SCENES)
    assert all(len(scene.youtube_id) == 11 for scene in SCENES)


def test_rendered_shapes_and_ranges():
    audio, frames = render(compose(0, 0, seconds=3.0), size=48, fps=4)
    assert audio.shape == (48_000,)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1
    assert frames.shape == (12, 48, 48, 3)
    assert frames.dtype == np.uint8


@pytest.mark.parametrize("scene", SCENES[::9], ids=lambda scene: scene.id)
def test_events_sound_and_show_exactly_when_they_say(scene):
    for event in scene.events:
        for interval in (event.audio, event.visual):
            assert interval is None or 0 <= interval[0] < interval[1] <= scene.seconds
        assert (event.visual is None) == (event.box is None)
        assert event.audio is not None or event.visual is not None
        if event.audio and event.visual:
            assert event.visual[0] <= event.audio[0]
            assert event.visual[1] >= event.audio[1]
        if event.box:
            assert event.box[2] - event.box[0] > 1 / 3
            assert all(0 <= side <= 1.0001 for side in event.box)


def test_times_agree_with_relations():
    seen = set()
    for scene in SCENES:
        seen.add(scene.relation)
        spans = [event.audio for event in scene.heard if not event.background]
        if scene.relation in ("then", "then_then", "then_background"):
            assert all(first[1] <= second[0] for first, second in pairwise(spans))
        if scene.relation == "while":
            assert max(span[0] for span in spans) < min(span[1] for span in spans)
        if "background" in scene.relation:
            (behind,) = [event for event in scene.heard if event.background]
            assert behind.audio == (0.0, scene.seconds)
            assert behind.of.ambient
    assert seen == set(TEMPLATES)


def test_relation_words_agree_with_times():
    order = ("then", "followed", "after", "before")
    for scene in SCENES:
        words = [set(sentence.replace(",", "").split()) for sentence in captions(scene, 5)]
        sequential = scene.relation.startswith("then")
        assert all(bool(found & set(order)) == sequential for found in words), captions(scene, 5)


def test_off_screen_and_silent_events():
    silent = [event for scene in SCENES for event in scene.events if event.audio is None]
    hidden = [event for scene in SCENES for event in scene.events if event.offscreen]
    assert silent
    assert hidden
    assert not {event.kind for event in hidden} & set(SOUND_ALIKE)
    for scene in SCENES:
        groups = [event.of.sound_group for event in scene.events]
        looks = [event.of.look_group for event in scene.events]
        assert len(set(groups)) == len(groups)
        assert len(set(looks)) == len(looks)


def test_captions_name_what_sounds_and_nothing_silent():
    for scene in SCENES:
        for sentence in captions(scene, 3):
            for event in scene.heard:
                if not event.background:
                    assert any(subject in sentence for subject in event.of.subjects)
            assert not any(
                f"{event.of.subjects[0]} " in sentence
                and event.of.subjects[0] not in {e.of.subjects[0] for e in scene.heard}
                for event in scene.events
                if event.audio is None and event.of.look_group not in ("shoes", "door")
            )


def test_captions_differ_and_stay_in_a_moderate_vocabulary():
    words = set()
    for scene in SCENES:
        sentences = captions(scene, 5)
        assert len(set(sentences)) == 5
        words.update(" ".join(sentences).replace(",", "").split())
    assert 120 <= len(words) <= 260
    assert "{" not in "".join(words)


def test_every_kind_has_five_captions_of_its_own():
    """A lone event is the poorest scene for wording: five different sentences must exist for each kind."""
    left = set(KINDS)
    index = 0
    while left and index < 4000:
        scene = compose(1, index)
        if scene.relation == "single":
            left.discard(scene.heard[0].kind)
            assert len(set(captions(scene, 5))) == 5
        index += 1
    assert not left


def test_image_captions_name_only_what_is_visible():
    for scene in SCENES[:60]:
        for row in image_captions(scene):
            assert row["id"] == scene.id
            shown = [e for e in scene.events if e.visual and e.visual[0] <= row["time"] < e.visual[1]]
            assert row["caption"] == image_caption(scene, row["time"])
            assert all(event.colour in row["caption"] or event.of.look_group == "pan" for event in shown)
            assert ("empty" in row["caption"]) == (not shown)


def test_tables_are_complete():
    assert len(KINDS) >= 20
    assert {kind.sound_group for kind in KINDS.values()} == set(SYNTHESISERS)
    assert {kind.look_group for kind in KINDS.values()} == set(LOOKS)
    assert {kind for event in (s.heard for s in SCENES) for kind in (e.kind for e in event)} == set(KINDS)
    assert not set(SOUND_ALIKE) & set(LOOK_ALIKE)
    assert set(SOUND_ALIKE) | set(LOOK_ALIKE) | set(PLAIN) == set(KINDS)
    for kind in SOUND_ALIKE:
        twins = [other for other in KINDS.values() if other.sound_group == KINDS[kind].sound_group]
        assert len({tuple(twin.manners) for twin in twins}) == 1, "the manner must not give a twin away"
        assert len({(twin.period, twin.ambient) for twin in twins}) == 1


def test_sound_groups_are_told_by_sound():
    """Nearest centroid on spectrum statistics: 27 groups, chance 4 %."""
    groups = sorted({kind.sound_group: kind for kind in KINDS.values()}.items())

    def sample(kind, number):
        rng = generator(5, kind.name, number)
        manner = sorted(kind.manners)[number % len(kind.manners)]
        count = 1 + number % 2 if kind.period else None
        seconds = (count or 0) * (kind.period or 0.0) or 1.5
        return log_spectrum(synthesise(rng, kind.sound_group, seconds=seconds, manner=manner, count=count))

    train = [(f"{kind.sound_group}/{n % 2}", sample(kind, n)) for _, kind in groups for n in range(8)]
    names = sorted({name for name, _ in train})
    centres = np.stack([np.mean([x for name, x in train if name == wanted], axis=0) for wanted in names])
    right = [
        names[np.abs(centres - sample(kind, number)).mean(1).argmin()].split("/")[0] == kind.sound_group
        for _, kind in groups
        for number in range(100, 104)
    ]
    assert np.mean(right) > 0.9


def test_sound_alike_kinds_share_their_sound_and_not_their_look():
    rngs = [np.random.default_rng(4) for _ in range(3)]
    kinds = [KINDS[name] for name in ("truck", "motorboat", "motorcycle")]
    sounds = [
        synthesise(rng, kind.sound_group, seconds=1.0, manner="rev", count=None)
        for rng, kind in zip(rngs, kinds, strict=True)
    ]
    assert np.array_equal(sounds[0], sounds[1])
    assert np.array_equal(sounds[0], sounds[2])
    pictures = [np.asarray(sprites(kind.look_group, colour="red", side=32)[0], dtype=float) for kind in kinds]
    assert min(np.abs(a - b).mean() for a in pictures for b in pictures if a is not b) > 20


def test_look_alike_kinds_share_their_look_and_not_their_sound():
    dogs = [KINDS[name] for name in ("bark", "growl", "whimper")]
    assert {kind.look_group for kind in dogs} == {"dog"}
    features = [
        log_spectrum(synthesise(np.random.default_rng(0), kind.sound_group, seconds=0.9, manner="", count=2))
        for kind in dogs
    ]
    assert min(np.abs(a - b).mean() for a in features for b in features if a is not b) > 1.0


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_objects_move_while_they_sound(look):
    rest, one, two = (
        np.asarray(picture, dtype=float) for picture in sprites(look, colour=LOOKS[look].colours[0], side=32)
    )
    assert min(np.abs(rest - one).mean(), np.abs(one - two).mean()) > 0.4


def test_frames_change_only_while_something_sounds():
    scene = next(
        s
        for s in SCENES
        if s.relation == "single" and len(s.events) == 1 and s.events[0].visual and s.events[0].audio[0] > 0.8
    )
    (event,) = scene.events
    audio, frames = render(scene)
    first = int(np.ceil(event.audio[0] * 8))
    shown = int(np.ceil(event.visual[0] * 8))
    change = np.abs(np.diff(frames.astype(int), axis=0)).sum((1, 2, 3)) > 0
    assert not change[: shown - 1].any()
    assert change[first:].any()
    before = audio[: int(event.audio[0] * 16_000)]
    assert np.abs(before).max() < 0.05 * np.abs(audio).max()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="split is 'dev'; choose one of train, val, test"):
        compose(0, 0, "dev")
    with pytest.raises(ValueError, match=r"at least 2\.0 seconds"):
        compose(0, 0, seconds=0.5)


def test_short_clips_leave_out_relations_without_room():
    assert {compose(0, index, seconds=2.0).relation for index in range(40)} == {"single"}
