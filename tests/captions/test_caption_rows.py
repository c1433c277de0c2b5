"""Captions in place of those of the shards: examples, ids, times, pairs, and what is refused."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import pytest

from avcap.captions.rows import CaptionRow, CaptionRows, Example, write_caption_rows
from avcap.data import AudioCapsDataModule, Captions, FrameChoice
from avcap.data.collate import collate
from avcap.ids import id_hash
from avcap.shards.prepare import prepare
from avcap.shards.reader import Shards
from tests.media_files import grey_ramp, tone, write_csv, write_media
from tests.served import served


def _write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _row(number: int, caption: str, split: str = "train", **more: float | str) -> dict:
    offset = 1000 if split == "val" else 0
    return {"id": f"clip{offset + number:07d}_{number}", "caption": caption, **more}


def _module(shards: Path, **settings) -> AudioCapsDataModule:
    """``captions`` and ``pairs`` as one, ``frames`` as a number."""
    chosen = Captions(settings.pop("captions", None), settings.pop("pairs", None))
    return served(shards, captions=chosen, frames=FrameChoice(settings.pop("frames", None)), **settings)


@pytest.fixture(scope="session")
def ramp_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two train clips of 2 s whose 4 stored pictures have the grey values 20, 40, 60, 80."""
    root = tmp_path_factory.mktemp("ramp")
    for name in ("one", "two"):
        write_media(root / f"{name}.mp4", wave=tone(2.0), pictures=grey_ramp(8), fps=4)
    write_csv(root / "train.csv", ("file_name", "caption"), [("one.mp4", "own caption"), ("two.mp4", "own caption")])
    prepare(root, root / "shards", frames=4, size=16, num_workers=1, progress=False)
    return root / "shards"


def test_each_training_row_is_an_example_with_an_id_of_its_own(
    small_shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [_row(1, "c"), _row(0, "a"), _row(2, "d"), _row(0, "b"), {"id": "elsewhere_1", "caption": "x"}]
    module = _module(small_shards, captions=_write(tmp_path / "rows.jsonl", *rows))
    with caplog.at_level(logging.INFO, logger="avcap"):
        training = module.dataset("train", training=True)
    assert training.ids == ["clip0000000_0", "clip0000000_0#2", "clip0000001_1", "clip0000002_2"]
    assert "4 examples of train, 23 clips without a row left out" in caplog.text
    seen = [(i, c) for b in module.train_dataloader() for i, c in zip(b["id"], b["caption"], strict=True)]
    assert sorted(seen) == list(zip(training.ids, "abcd", strict=True))
    assert module.dataset("val").ids == Shards(small_shards / "val").ids  # no row of its clips: its own captions count
    assert module.dataset("val")[0]["caption"] == "caption 0 of val clip 0"


def test_resume_counts_rows(small_shards: Path, tmp_path: Path) -> None:
    captions = _write(tmp_path / "rows.jsonl", *[_row(k // 2, f"caption {k}") for k in range(10)])

    def loader(path: Path):
        return _module(small_shards, captions=path, batch_size=2, seed=3).train_dataloader()

    whole = [(b["id"], b["caption"]) for b in loader(captions)]
    stopped = loader(captions)
    read = iter(stopped)
    next(read), next(read)
    again = loader(captions)
    again.load_state_dict(stopped.state_dict())
    assert [(b["id"], b["caption"]) for b in again] == whole[2:]
    assert all(count == 1 for count in Counter(i for ids, _ in whole for i in ids).values())
    longer = _write(tmp_path / "longer.jsonl", *[_row(k // 2, f"caption {k}") for k in range(12)])
    with pytest.raises(ValueError, match="clips was 10 and is 12"):
        loader(longer).load_state_dict(stopped.state_dict())


def test_evaluation_joins_the_rows_of_a_clip_and_tells_its_moments_apart(small_shards: Path, tmp_path: Path) -> None:
    rows = [_row(0, "a", "val", time=0.1), _row(0, "b", "val", time=0.1), _row(0, "c", "val", time=0.4)]
    captions = _write(tmp_path / "rows.jsonl", *rows, _row(2, "d", "val"))
    moments = _module(small_shards, captions=captions, frames=1).dataset("val")
    assert {moments[k]["id"]: moments[k]["references"] for k in range(len(moments))} == {
        "clip0001000_0": ["a", "b"],
        "clip0001000_0#2": ["c"],
        "clip0001002_2": ["d"],
    }
    clips = _module(small_shards, captions=captions, frames=2).dataset("val")  # several pictures are of no one moment
    assert [clips[k]["references"] for k in range(len(clips))] == [["a", "b", "c"], ["d"]]


def test_the_picture_is_the_one_at_the_time_of_the_row(ramp_shards: Path, tmp_path: Path) -> None:
    times = [0.0, 0.6, 1.4, 1.9]
    captions = _write(tmp_path / "rows.jsonl", *[{"id": "one", "caption": f"{t}", "time": t} for t in times])
    data = _module(ramp_shards, captions=captions, frames=1, reads=("frames",)).dataset("train", training=True)
    greys = [data[k]["frames"].float().mean().item() for k in range(4)]
    assert greys == pytest.approx([20, 40, 60, 80], abs=3)  # H.264 moves grey values by one or two
    assert data[3]["frames"].shape == (1, 3, 16, 16)
    without = _write(tmp_path / "plain.jsonl", {"id": "one", "caption": "a"})
    plain = _module(ramp_shards, captions=without, frames=1).dataset("train", training=True)
    assert plain[0]["frames"].float().mean().item() == pytest.approx(60, abs=3)  # the middle one


def test_pairs_are_few_whole_and_always_the_same(small_shards: Path) -> None:
    few, more = (
        _module(small_shards, reads=("frames",), frames=1, pairs=n, seed=5).dataset("train", training=True)
        for n in (4, 16)
    )
    assert len(few) == 4
    assert len(more) == 16
    assert set(few.ids) < set(more.ids)
    assert all(more[k]["frames"].shape == (1, 3, 16, 16) for k in range(16))  # every fifth clip has no pictures
    place = next(k for k, name in enumerate(more.ids) if int(name.split("_")[1]) % 3 == 0)  # a clip of three captions
    assert len({more[epoch, place]["caption"] for epoch in range(20)}) == 1
    other = _module(small_shards, reads=("frames",), pairs=4, seed=6).dataset("train", training=True)
    assert other.ids != few.ids
    assert len(_module(small_shards, pairs=4).dataset("val")) == 5  # evaluation keeps all clips
    with pytest.raises(ValueError, match="pairs is 26, but only 21 of 26 examples have a caption and all streams"):
        _module(small_shards, reads=("frames",), pairs=26).dataset("train", training=True)
    with pytest.raises(ValueError, match="pairs must be null or at least 1"):
        _module(small_shards, pairs=0)


def test_provenance_is_read_and_its_split_is_checked(small_shards: Path, tmp_path: Path) -> None:
    made = {"provenance": {"split": "train", "checkpoint": "runs/x.ckpt"}}
    captions = _write(tmp_path / "pseudo.jsonl", made, _row(0, "a"), _row(0, "b", "val"))
    assert CaptionRows.read(captions).split == "train"
    module = _module(small_shards, captions=captions)
    assert len(module.dataset("train", training=True)) == 1
    assert len(module.dataset("val")) == 5  # made of train: the val clips keep their captions
    other = _write(tmp_path / "test.jsonl", {"provenance": {"split": "test"}}, _row(0, "a"))
    with pytest.raises(ValueError, match=r"test\.jsonl was made of the split test and cannot caption train"):
        _module(small_shards, captions=other).dataset("train", training=True)


def test_a_prompt_comes_with_its_row_in_training(small_shards: Path, tmp_path: Path) -> None:
    rows = [_row(0, "a"), _row(0, "b", prompt="What is heard?"), _row(2, "c")]
    module = _module(small_shards, captions=_write(tmp_path / "rows.jsonl", *rows), batch_size=3)
    (batch,) = module.train_dataloader()
    asked = dict(zip(batch["caption"], batch["prompt"], strict=True))
    assert asked == {"a": None, "b": "What is heard?", "c": None}
    data = module.dataset("train", training=True)
    assert "prompt" not in collate([data[0], data[2]])  # no clip of the batch has one


def test_rows_with_a_prompt_are_for_training_alone(small_shards: Path, tmp_path: Path) -> None:
    asked = {"prompt": "What is heard?"}
    rows = [_row(0, "a"), _row(0, "b", "val"), _row(0, "c", "val", **asked), _row(1, "d", "val", **asked)]
    mixed = _module(small_shards, captions=_write(tmp_path / "mixed.jsonl", *rows)).dataset("val")
    assert [(sample["id"], sample["references"]) for sample in (mixed[k] for k in range(len(mixed)))] == [
        ("clip0001000_0", ["b"])
    ]
    assert "prompt" not in mixed[0]
    only = _module(small_shards, captions=_write(tmp_path / "only.jsonl", rows[0], *rows[2:])).dataset("val")
    assert only.ids == Shards(small_shards / "val").ids  # as if the file had no row of the split
    assert only[0]["caption"] == "caption 0 of val clip 0"


def test_written_rows_are_read_with_their_provenance(tmp_path: Path) -> None:
    path = tmp_path / "made" / "rows.jsonl"
    write_caption_rows(path, [_row(0, "a"), _row(0, "b", prompt="p")], provenance={"split": "train", "seed": 3})
    found = CaptionRows.read(path)
    assert [row.prompt for row in found.rows] == [None, "p"]
    assert found.provenance == {"split": "train", "seed": 3, "clips": 1, "id_hash": id_hash(["clip0000000_0"])}
    assert CaptionRows.read(_write(tmp_path / "plain.jsonl", _row(0, "a"))).provenance == {}


def test_a_file_of_another_split_is_refused_with_counts(small_shards: Path, tmp_path: Path) -> None:
    captions = _write(tmp_path / "val.jsonl", *[_row(k, "a", "val") for k in range(3)])
    message = (
        r"None of the 3 clips in .*val\.jsonl \(clip0001000_0, clip0001001_1 and 1 more\) is among the 26 clips of"
    )
    with pytest.raises(ValueError, match=message):
        _module(small_shards, captions=captions).setup("fit")


def test_a_clip_of_unknown_length_has_no_moments(ramp_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _module(ramp_shards, frames=1).dataset("train")
    monkeypatch.setattr(data, "_examples", [Example("one", 0, ("a",), 1.0)])
    monkeypatch.setattr(data.shards, "meta", lambda _: {"duration": None})
    with pytest.raises(ValueError, match="caption of one is of second 1, but the length of that clip is not known"):
        data[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"rows\.jsonl, line 1: not valid JSON"),
        ("[1]", "line 1: expected an object"),
        ('{"id": "a"}', "line 1: a row needs an id and a caption; it has id"),
        ('{"id": "a", "caption": " "}', "needs an id and a caption"),
        ('{"id": "a", "caption": "b", "time": "1"}', "line 1: time '1' is not a number of seconds"),
        ('{"id": "a", "caption": "b", "time": -1}', "time -1 is not a number of seconds"),
        ('{"id": "a", "caption": "b", "prompt": " "}', "line 1: prompt ' ' is not a text; leave it out"),
        ('{"id": "a", "caption": "b", "prompt": ["c"]}', r"prompt \['c'\] is not a text"),
        ('{"provenance": {"split": "train"}}', "holds no caption"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        CaptionRows.read(tmp_path / "rows.jsonl")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*rows\.jsonl"):
        CaptionRows.read(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    "row",
    ['{"id": 3, "caption": "a"}', '{"id": "a", "caption": null}', '{"id": "a", "caption": "\\udc80"}', '{"id": "", "caption": "x"}'],
)  # fmt: skip
def test_a_row_without_a_text_is_named_by_line(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"id": "a", "caption": "x"}}\n{row}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 2: a row needs an id and a caption"):
        CaptionRows.read(path)


def _conversations(path: Path, *clips: tuple[str, str]) -> Path:
    """In the form of LLaVA's training data, as DALI's code writes it."""
    asked = {"from": "human", "value": "<image>\nDescribe the sound that can be heard in this scene."}
    entries = [{"id": i, "image": f"{i}.jpg", "conversations": [asked, {"from": "gpt", "value": c}]} for i, c in clips]
    path.write_text(json.dumps(entries))
    return path


def test_conversations_name_clips_by_their_video(
    small_shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _conversations(tmp_path / "prefixDS.json", ("clip0000001", "a bell"), ("gone0000000", "x"))
    with caplog.at_level(logging.WARNING, logger="avcap"):
        training = _module(small_shards, captions=file).dataset("train", training=True)
    assert [(training.ids[0], training[0]["caption"])] == [("clip0000001_1", "a bell")]
    assert "1 of its clips are not in train: gone0000000" in caplog.text


def test_a_video_of_two_clips_is_not_guessed() -> None:
    rows = CaptionRows(Path("x"), (CaptionRow("clip0000001", "a"), CaptionRow("clip0000002", "b")))
    ids = ["clip0000001_0", "clip0000001_30.5", "clip0000002_7"]
    assert [example.id for example in rows.examples(ids, split="train", training=True, timed=False)] == [ids[2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "holds no conversations"),
        ("[]", "holds no conversations"),
        ("[1]", "entry 1: it needs an id, and conversations"),
        ('[{"id": "a", "conversations": [{"from": "human", "value": "x"}]}]', "in which gpt says the caption"),
        ('[{"id": "a", "conversations": [{"from": "gpt", "value": " "}]}]', "entry 1: a row needs an id and a caption"),
        ("[", "not valid JSON"),
    ],
)
def test_conversations_of_another_form_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "captions.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"captions\.json.*{message}"):
        CaptionRows.read(file)
