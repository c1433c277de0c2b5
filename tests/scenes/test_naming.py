"""Which kinds of sounds captions name: every phrase of the grammar, and scenes with what is heard in them."""

from __future__ import annotations

from itertools import combinations

import pytest

from avcap.scenes import captions, compose
from avcap.scenes.grammar import TEMPLATES, Clause
from avcap.scenes.kinds import TABLE
from avcap.scenes.naming import kinds_heard, kinds_named, naming_scores, words_of

DOG, RAIN = {"kind": "bark", "audio": [0.0, 1.0]}, {"kind": "rain", "audio": [0.0, 5.0]}


def phrases(kind):
    return [phrase for manner in kind.manners.values() for phrase in manner]


def clause(kind, *, subject=0, phrase=0):
    finite, gerund = phrases(kind)[phrase].split("/")
    return Clause(kind.subjects[subject], finite, gerund, " twice in the distance", "are" if kind.plural else "is")


def test_no_words_name_two_kinds():
    for one, other in combinations(TABLE, 2):
        (nouns, verbs), (other_nouns, other_verbs) = words_of(one), words_of(other)
        assert not (nouns & other_nouns and verbs & other_verbs), (one.name, other.name)


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.name)
def test_every_phrase_of_a_kind_names_it_and_nothing_else(kind):
    for subject in range(len(kind.subjects)):
        for phrase in range(len(phrases(kind))):
            for template in TEMPLATES["single"]:
                sentence = template.format(a=clause(kind, subject=subject, phrase=phrase))
                assert kinds_named(sentence) == {kind.name}, sentence


@pytest.mark.parametrize("relation", [name for name in TEMPLATES if name != "single"])
def test_every_frame_names_all_its_kinds(relation):
    for template in TEMPLATES[relation]:
        for i, kind in enumerate(TABLE):
            told = [kind, TABLE[i - 1], TABLE[i - 2]][: 3 if "{c." in template else 2]
            sentence = template.format(**{place: clause(k) for place, k in zip("abc", told, strict=False)})
            assert kinds_named(sentence) == {k.name for k in told}, sentence


def test_references_name_what_is_heard_but_for_a_background_that_goes_unsaid():
    for index in range(150):
        scene = compose(5, index, "test", seconds=5.0)
        heard = kinds_heard(event.to_dict() for event in scene.events)
        unsaid = {event.kind for event in scene.heard if event.background}
        for caption in captions(scene, 3):
            assert heard - unsaid <= kinds_named(caption) <= heard, caption


@pytest.mark.parametrize(
    ("caption", "kinds"),
    [
        ("A dog barks", {"bark"}),
        ("the dog is growling loudly", {"growl"}),
        ("a dog sings", set()),  # no dog of the table does
        ("barking", set()),
        ("a bell", set()),
        ("an alarm clock beeps and a clock ticks", {"alarm", "clock"}),
        ("a police car siren wails while a car beeps", {"siren", "horn"}),
        ("a dog barks and then a dog barks", {"bark"}),
        ("someone walks with a hammer pounding", {"footsteps", "hammer"}),
        ("", set()),
    ],
)
def test_the_noun_and_the_verb_decide(caption, kinds):
    assert kinds_named(caption) == kinds


def test_scores_by_hand():
    silent = {"kind": "cat", "audio": None}
    naming = naming_scores(
        {
            "both": "a dog barks as rain falls",
            "half": "a dog barks and a cat meows",
            "none": "a bell",
            "no": "rain falls",
        },
        {"both": [DOG, RAIN], "half": [DOG, RAIN, silent], "none": [DOG], "no": [DOG], "unused": []},
    )
    assert naming.clips == {
        "both": {"named_recall": 1.0, "named_precision": 1.0},
        "half": {"named_recall": 0.5, "named_precision": 0.5},
        "none": {"named_recall": 0.0, "named_precision": 0.0},
        "no": {"named_recall": 0.0, "named_precision": 0.0},
    }
    assert naming.corpus == {"named_recall": 0.375, "named_precision": 0.375, "named_any": 0.5}


def test_clips_without_events_are_refused():
    with pytest.raises(ValueError, match="no sound of clip b"):
        naming_scores({"a": "a dog barks", "b": "rain falls"}, {"a": [DOG]})
    with pytest.raises(ValueError, match="no captions"):
        naming_scores({}, {"a": [DOG]})
