"""Caption files in tables as the world has them: broken rows, separators, files that share a stem, starts."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcap.captions import EntryList, read_captions
from avcap.captions.table import read_table

AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n"
FILES = "file_name,caption\n"


def _read(tmp_path: Path, text: str, encoding: str = "utf-8") -> EntryList:
    path = tmp_path / "train.csv"
    path.write_bytes(text.encode(encoding))
    return read_captions(path)


def _captions(entries: EntryList) -> dict[str, list[str]]:
    return {entry.id: entry.captions for entry in entries}


def test_rows_broken_over_lines_are_joined_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        f"{AUDIOCAPS}39899,IAosP90cdsE,30,an engine chugging with muffled\nspeech, and music\n\nin the background\n"
        '7994,2Cnv0FADwfo,30.0,"a animal is\n gurgling, in water."\n12,0012345678_,0,\nrain falls\n13,xxxxxxxxxxx,10,wind\n'
    )
    with caplog.at_level(logging.WARNING):
        entries = _read(tmp_path, text)
    assert _captions(entries) == {
        "IAosP90cdsE_30": ["an engine chugging with muffled speech, and music in the background"],
        "2Cnv0FADwfo_30": ["a animal is gurgling, in water."],
        "0012345678__0": ["rain falls"],
        "xxxxxxxxxxx_10": ["wind"],
    }
    (note,) = entries.notes
    assert note.endswith("4 rows were broken over lines and are joined: line 3, line 5, line 6, line 9.")
    assert note in caplog.text


def test_broken_rows_that_another_program_filled_up_are_joined(tmp_path: Path) -> None:
    text = f'{AUDIOCAPS}7994,2Cnv0FADwfo,30,"an animal, in water."\na dog is whimpering,,,\n1,aaaaaaaaaaa,0,a loud\n"bang, hiss",,,\n'
    assert _captions(_read(tmp_path, text)) == {
        "2Cnv0FADwfo_30": ["an animal, in water. a dog is whimpering"],
        "aaaaaaaaaaa_0": ["a loud bang, hiss"],
    }
    with pytest.raises(ValueError, match="line 3: the caption is empty"):  # "bang" may be a file
        _read(tmp_path, f"{FILES}a.wav,a loud\nbang,\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(tmp_path: Path, end: str) -> None:
    text = f'{FILES}a.wav,"one\ntwo"\nb.wav,three\nwith more\n'.replace("\n", end)
    assert _captions(_read(tmp_path, text)) == {"a": ["one two"], "b": ["three with more"]}


def test_commas_without_quotes_never_cut_a_caption(tmp_path: Path) -> None:
    entries = _read(tmp_path, f"{FILES}a.wav,a dog barks, then a cat meows\nb.wav,rain, wind,,\nc.wav,x,\n")
    assert _captions(entries) == {"a": ["a dog barks, then a cat meows"], "b": ["rain, wind,,"], "c": ["x,"]}
    assert entries.notes == [
        f"{tmp_path / 'train.csv'}: 3 captions have commas but no quotes and are kept whole: line 2, line 3, line 4."
    ]
    spreadsheet = _read(tmp_path, "file_name,caption,,\na.wav,one,,\nb.wav,two\n")
    assert (_captions(spreadsheet), spreadsheet.notes) == ({"a": ["one"], "b": ["two"]}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,caption_1,caption_2\na.wav,one, two, three\n", "line 2: there are 4 fields and 3 columns"),
        ("caption,file_name\na dog, a cat,a.wav\n", "line 2: there are 3 fields and 2 columns"),
        (f"{FILES}a.wav,one,b.wav,two\n", "line 2: there are 4 fields and 2 columns"),  # a line end is missing
        (f'{FILES}a.wav,"one","two"\n', "line 2: there are 3 fields and 2 columns"),
        (f"{FILES}a,b.wav,one\n", "line 2: there are 3 fields and 2 columns"),
        (f"{FILES}a.wav,one\nb.wav\n", "line 3: there are 1 fields and 2 columns"),
        (f"{AUDIOCAPS}1,aaaaaaaaaaa,30,one\n2,bbbbbbbbbbb\n", "line 3: there are 2 fields and 4 columns"),
        (f"{AUDIOCAPS}1,aaaaaaaaaaa,30,one\n2\n", "line 3: there are 1 fields and 4 columns"),
        ("file_name,caption_1,caption_2\na.wav,one\n", "line 2: there are 2 fields and 3 columns"),
        (f"{FILES}a.wav,one with\nmuffled speech, and rain\nb.wav,two\n", "line 3: the file 'muffled speech' has no suffix"),
        (f'{FILES}a.wav,"one\nb.wav,two\nc.wav,three\n', "line 2: a quote is opened and never closed"),
        (f'{FILES}a.wav,"one\nb.wav,two\nc.wav,"three"\n', "line 2: there is text after a closing quote"),
        (f'{FILES}a.wav,"one\nb.wav,two"\nc.wav,three\n', "line 2: a quote is opened here and the next rows are in it"),
        (f'{FILES}a.wav,"one" two\n', "line 2: there is text after a closing quote"),
        (f"{FILES}a.wav,{'x' * 140_000}\n", "line 2: a field is longer than 131,072 characters"),
        (f"{FILES}a.wav,o\0ne\n", "line 2: there is a NUL byte"),
        (f"{FILES}a.wav,\n", "line 2: the caption is empty"),
        (f"{FILES},one\n", "line 2: file_name is empty"),
        (f"{AUDIOCAPS}1,a b,30,one\n", "line 2: youtube_id 'a b' holds a blank"),
        (f"{FILES}../a.wav,one\n", r"line 2: file_name '\.\./a\.wav' leaves the folder"),
        (f"{FILES}x/../../a.wav,one\n", r"line 2: file_name '.*' leaves the folder"),
        (f"{FILES}..\\a.wav,one\n", r"line 2: file_name '.*' leaves the folder"),
        (f"{FILES}/etc/passwd.wav,one\n", "line 2: file_name '/etc/passwd.wav' leaves the folder"),
        (f"{FILES}C:\\a.wav,one\n", r"line 2: file_name '.*' leaves the folder"),
        ("file_name,caption,caption\na.wav,one,two\n", "line 1: the column caption comes twice"),
        ("file_name;text\na.wav;one\n", "lacks the column caption.*; rename text to caption"),
        ("a.wav,one\n", "lacks the column caption.* it has a.wav, one"),
        ("", "is empty"),
        (FILES, "holds no caption"),
        *(
            (f"{AUDIOCAPS}1,aaaaaaaaaaa,{start},one\n", "line 2: start_time .* is not a number of seconds; write one")
            for start in ("nan", "inf", "-5", "", "1_0", "1e300", "x")
        ),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_understood_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"train\.csv.*{message}"):
        _read(tmp_path, text)


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
def test_separators_are_recognised(tmp_path: Path, mark: str) -> None:
    text = f'filename{mark}Caption\na.wav{mark}"one{mark} two"\n'
    assert _captions(_read(tmp_path, text)) == {"a": [f"one{mark} two"]}
    assert _captions(_read(tmp_path, "sep=;\nfile;caption\na.wav;one, two\n")) == {"a": ["one, two"]}


def test_a_header_that_comes_again_is_skipped_and_told(tmp_path: Path) -> None:
    entries = _read(tmp_path, f"{FILES}a.wav,one\n\n\ufeff{FILES}b.wav,two\n")
    assert _captions(entries) == {"a": ["one"], "b": ["two"]}
    assert entries.notes[0].endswith("the header comes again and is skipped: line 4.")


def test_ids_are_text(tmp_path: Path) -> None:
    names = ["-abcDEF-123", "__abc_12_34", "0012345678_", "1e5", "=cmd|", "NA", "Yabcdefghij", "cafe\u0301"]
    rows = "".join(f"{k},{name},30.0,caption {k}\n" for k, name in enumerate(names))
    expected = [f"{name}_30" for name in [*names[:-1], "café"]]
    assert [entry.id for entry in _read(tmp_path, AUDIOCAPS + rows)] == expected


def test_blanks_of_names_are_kept(tmp_path: Path) -> None:
    entries = _read(tmp_path, "file_name,caption_1,caption_2\n typical Porto.wav,birds,cars\nb.wav,rain,\n")
    assert [(e.id, e.file, e.captions) for e in entries] == [
        (" typical Porto", " typical Porto.wav", ["birds", "cars"]),
        ("b", "b.wav", ["rain"]),
    ]
    assert [e.id for e in _read(tmp_path, "caption, file_name\none, a.wav\n")] == ["a"]  # there it is style


def test_files_of_one_stem_are_two_clips(tmp_path: Path) -> None:
    entries = _read(tmp_path, f"{FILES}x.wav,one\nx.flac,two\n./x.wav,three\ny.wav,four\nd\\x.wav,five\n")
    assert _captions(entries) == {"x.wav": ["one", "three"], "x.flac": ["two"], "y": ["four"], "d/x": ["five"]}
    assert [entry.exact for entry in entries] == [True, True, False, False]
    with pytest.raises(ValueError, match=r"x\.wav and x\.wav\.mp3 would be one clip, x\.wav; rename one"):
        _read(tmp_path, f"{FILES}x.wav,one\nx.flac,two\nx.wav.mp3,three\n")


def test_starts_tell_the_clips_of_one_file_apart(tmp_path: Path) -> None:
    head = "file_name,start_time,caption\n"
    entries = _read(tmp_path, f"{head}x.wav,30,one\nx.wav,90.5,two\nx.wav,30,three\ny.wav,10,four\nz.wav,,five\n")
    assert [(e.id, e.start, e.captions) for e in entries] == [
        ("x_30", 30.0, ["one", "three"]),
        ("x_90.5", 90.5, ["two"]),
        ("y", 10.0, ["four"]),
        ("z", None, ["five"]),
    ]


@pytest.mark.parametrize(
    ("table", "note"),
    [
        (
            f"{FILES}a.wav,a 'dog' barks\nb.wav,a \"dog\" barks\n",
            "a quote in a field without quotes is kept as a letter: line 3",
        ),
        (
            f'{FILES}a.wav,"a ""dog"" barks"\nb"b.wav,rain\n',
            "a quote in a field without quotes is kept as a letter: line 3",
        ),
        (
            "file_name,caption_1,caption_2\na.wav,rain,\nb.wav,rain,wind\n",
            "a row has an empty caption beside others: line 2",
        ),
        (f"{FILES}a.wav,rain\nb.wav,7120\n", "a caption has no letter: line 3"),
        (
            "file_name,start_time,caption\na.wav,,rain\na.wav,10,wind\n",
            "a row has no start_time and means its whole file: line 2",
        ),
        (
            "audiocap_id,youtube_id,start_time,caption\n1,abcdefghijk,0,rain\n4711,2,0,wind\n3,ABCDEFGHIJK,0,hail\n",
            "a youtube_id has not the 11 letters of the others: line 3",
        ),
    ],
)
def test_what_may_be_wrong_is_told_with_its_line(tmp_path: Path, table: str, note: str) -> None:
    assert [told.removeprefix(f"{tmp_path / 'train.csv'}: ") for told in _read(tmp_path, table).notes] == [f"{note}."]


def test_a_whole_path_inside_of_the_folder_is_made_relative(tmp_path: Path) -> None:
    assert [e.file for e in _read(tmp_path, f"{FILES}{tmp_path}/clips/a.wav,one\n")] == ["clips/a.wav"]


@settings(deadline=None)
@given(
    rows=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
            lambda text: any(map(str.isalpha, text))
        ),
        min_size=1,
    ),
    mark=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_well_formed_tables_give_exactly_their_captions(rows: list[str], mark: str, end: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, lineterminator=end)
    writer.writerow(["file_name", "caption"])
    writer.writerows((f"clip {k}.wav", caption) for k, caption in enumerate(rows))
    entries = read_table(Path("train.csv"), file.getvalue())
    assert [(e.id, e.captions) for e in entries] == [(f"clip {k}", [text.strip()]) for k, text in enumerate(rows)]
    assert entries.notes == []
