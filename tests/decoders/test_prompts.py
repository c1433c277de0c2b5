from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from avcap.decoders.prompts import (
    CAPTION_PROMPTS,
    PLAIN_TEMPLATE,
    PromptTable,
    check_template,
    fill_template,
    read_prompts,
)
from avcap.decoders.text import TextCodec, special_ids

CHAT = "{% for m in messages %}<s>[{{ m['role'] }}] {{ m['content'] }} {% endfor %}[reply]"


@pytest.fixture
def codec(tokenizer_folder: Path) -> TextCodec:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    return TextCodec(tokenizer, special_ids(tokenizer, None))


def test_built_in_prompts_are_fifteen_different_ones():
    assert len(set(CAPTION_PROMPTS)) == 15
    assert read_prompts(None) == CAPTION_PROMPTS


def test_prompts_come_from_a_list_or_a_file(tmp_path: Path):
    file = tmp_path / "prompts.txt"
    file.write_text("Say it.\n\n  Sing it. \n", encoding="utf-8")
    assert read_prompts(file) == read_prompts(["Say it.", "Sing it."]) == ("Say it.", "Sing it.")


def test_absent_or_empty_prompts_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"decoder\.prompting\.prompts: there is no file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="holds no prompt"):
        read_prompts([" "])


def official(folder: Path, **tasks: object) -> Path:
    """A file of LAVCap's form."""
    file = folder / "train_prompt.json"
    file.write_text(json.dumps(tasks), encoding="utf-8")
    return file


def test_prompts_come_from_the_official_file_by_their_task(tmp_path: Path):
    here = "<Speech><SpeechHere></Speech> "
    file = official(tmp_path, asr=[f"{here}Write it."], audiocaption=[f"{here}Say it.", f"{here}Sing it."])
    assert read_prompts(file) == ("Say it.", "Sing it.")
    assert read_prompts(str(file), task="asr") == ("Write it.",)
    asked = json.loads(file.read_text())["audiocaption"][0]
    before, after = fill_template(PLAIN_TEMPLATE, read_prompts(file)[0])
    assert f"{before}<SpeechHere>{after}" == f"USER: {asked}\nASSISTANT:"  # as the official code puts it


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"asr": []}, "no prompts of the task audiocaption; set decoder.prompting.task to one of asr"),
        ({"audiocaption": "Say it."}, "must be a list of prompts"),
        ({"audiocaption": [1]}, "must be a list of prompts"),
        ({"audiocaption": ["Say it."]}, "the prompt 'Say it.' of the task audiocaption must be '<Speech><SpeechHere>"),
        ({"audiocaption": ["<Speech><SpeechHere></Speech> "]}, "and an instruction"),
        ({"audiocaption": []}, "holds no prompt"),
    ],
)
def test_an_official_file_of_another_form_is_refused(tmp_path: Path, tasks: dict, message: str):
    with pytest.raises(ValueError, match=message):
        read_prompts(official(tmp_path, **tasks))


@pytest.mark.parametrize(("text", "message"), [("[]", "no list of prompts by task"), ("{", "not valid JSON")])
def test_a_json_file_without_tasks_is_refused(tmp_path: Path, text: str, message: str):
    file = tmp_path / "prompts.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"prompts\.json.*{message}"):
        read_prompts(file)


@pytest.mark.parametrize("template", ["no place", "{tokens} {tokens}", "{tokens} {prompt} {prompt}"])
def test_template_needs_one_place_for_the_tokens(template: str):
    with pytest.raises(ValueError, match="exactly once"):
        check_template(template)


def test_template_is_cut_at_the_tokens():
    halves = fill_template(PLAIN_TEMPLATE, "Say it.")
    assert halves == ("USER: <Speech>", "</Speech> Say it.\nASSISTANT:")


def test_chat_template_writes_the_roles(codec: TextCodec):
    codec.tokenizer.chat_template = CHAT
    assert fill_template("{tokens} {prompt}", "Say it.", codec.tokenizer) == ("<s>[user] ", " Say it. [reply]")


def test_chat_template_must_exist_and_keep_the_text(codec: TextCodec):
    codec.tokenizer.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        fill_template("{tokens}", "x", codec.tokenizer)
    codec.tokenizer.chat_template = "nothing"
    with pytest.raises(ValueError, match="does not keep"):
        fill_template("{tokens}", "x", codec.tokenizer)


def table(codec: TextCodec, template: str = PLAIN_TEMPLATE) -> PromptTable:
    """As a decoder makes one, without an opening token."""

    def split(prompt: str) -> tuple[list[int], list[int]]:
        halves = fill_template(template, prompt)
        return tuple(codec.encode([half]).ids[0].tolist() for half in halves)

    return PromptTable(codec, split)


def test_rows_are_padded_to_the_given_prompts_only(codec: TextCodec):
    prompts = ["bell", "a dog barks while rain falls and an engine idles in the distance"]
    known = table(codec)
    known.rows(prompts)
    before, after = known.rows(prompts[:1] * 2)
    assert before.mask.all()
    assert after.mask.all()
    before, after = known.rows(prompts)
    expected = codec.encode([f"</Speech> {prompt}\nASSISTANT:" for prompt in prompts], padding_side="left")
    assert torch.equal(after.ids, expected.ids)
    assert torch.equal(after.mask, expected.mask)
    assert torch.equal(before.ids, codec.encode(["USER: <Speech>"] * 2).ids)


def test_a_longer_text_before_the_tokens_pads_the_others_on_the_right(codec: TextCodec):
    before, after = table(codec, "{prompt} {tokens} bell").rows(["a", "a dog barks while rain falls"])
    expected = codec.encode(["a ", "a dog barks while rain falls "])
    assert torch.equal(before.ids, expected.ids)
    assert torch.equal(before.mask, expected.mask)
    assert not before.mask.all()
    assert after.mask.all()


def test_each_prompt_is_tokenised_once(codec: TextCodec):
    asked = []

    def split(prompt: str) -> tuple[list[int], list[int]]:
        asked.append(prompt)
        return [1], [2, 3]

    known = PromptTable(codec, split)
    for _ in range(2):
        known.rows(["a", "b", "a"])
    assert asked == ["a", "b"]


def test_template_must_not_end_with_the_tokens(codec: TextCodec):
    with pytest.raises(ValueError, match="put some text behind it"):
        table(codec, "{prompt} {tokens}").rows(["a"])


def test_a_prompt_must_not_hold_the_placeholder():
    with pytest.raises(ValueError, match=r"The prompt 'say \{tokens\}' must not hold \{tokens\}"):
        fill_template(PLAIN_TEMPLATE, "say {tokens}")
