"""The table of kinds: what its file may hold."""

import pytest

from avcap.scenes.drawings import LOOKS
from avcap.scenes.kinds import TABLE, read_kinds
from avcap.scenes.sounds import SYNTHESISERS

ROW = {"name": "owl", "sound_group": "hoot", "look_group": "owl", "subjects": ["an owl"], "manners": ["hoots/hooting"]}


def written(path, *rows):
    import yaml

    path.write_text(yaml.safe_dump(list(rows)))
    return path


def test_every_kind_has_a_synthesiser_and_a_drawing():
    assert {kind.sound_group for kind in TABLE} == set(SYNTHESISERS)
    assert {kind.look_group for kind in TABLE} == set(LOOKS)


def test_defaults_and_a_single_manner(tmp_path):
    (kind,) = read_kinds(written(tmp_path / "kinds.yaml", ROW))
    assert (kind.plural, kind.period, kind.ambient) == (False, None, False)
    assert kind.manners == {"": ("hoots/hooting",)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": 3}, "unknown field 'volume'"),
        ({"look_group": None}, "lacks 'look_group'"),
        ({"name": ""}, "without a name"),
        ({"subjects": "an owl"}, "subjects must be a list"),
        ({"manners": {"soft": []}}, "soft must be a list"),
        ({"manners": ["hoots"]}, "must have two forms"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_kinds(written(tmp_path / "kinds.yaml", ROW | change))


def test_a_name_that_stands_twice_is_named(tmp_path):
    with pytest.raises(ValueError, match="two kinds called 'owl'"):
        read_kinds(written(tmp_path / "kinds.yaml", ROW, ROW))
