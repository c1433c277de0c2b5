"""Prompts around the fused tokens: instructions, and the template that contains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcap.decoders.text import Ids, TextCodec
from avcap.jsonl import is_text, parse_json
from avcap.text_file import read_text

TOKENS = "{tokens}"
PROMPT = "{prompt}"

PLAIN_TEMPLATE = "USER: <Speech>{tokens}</Speech> {prompt}\nASSISTANT:"
"""The layout that LAVCap's official code feeds to LLaMA-2-chat."""

CHAT_TEMPLATE = "<Speech>{tokens}</Speech> {prompt}"
"""The user's turn where the tokenizer's own chat template writes the roles."""

CAPTION_PROMPTS: tuple[str, ...] = (
    "Describe the audio.",
    "Describe what can be heard in one sentence.",
    "Write a caption for this sound recording.",
    "Which sounds occur, and in what order?",
    "Summarise the sound events of this clip.",
    "Tell me what you hear.",
    "Give a short description of the recording.",
    "What is happening in this audio clip?",
    "Put the soundscape into words.",
    "Name the sources that make the sounds and what they do.",
    "Caption the audio briefly.",
    "Explain in a sentence what is sounding.",
    "Listen to the clip and describe it.",
    "Report the events that can be heard.",
    "How would you describe this recording to someone who cannot hear it?",
)
"""Fifteen instructions in avcap's own wording. The first one is used in evaluation."""

OFFICIAL_TOKENS = "<Speech><SpeechHere></Speech> "
"""What each prompt of LAVCap's official file begins with; here it stands in the template, as {tokens}."""


@dataclass(frozen=True)
class Prompting:
    """Settings of the prompt around the fused tokens.

    Args:
        template: Text around {tokens} and {prompt}. None: LAVCap's "USER: <Speech>{tokens}</Speech> {prompt}\\nASSISTANT:",
            or the same without the roles under ``chat_template``.
        prompts: Prompts drawn from in training: a list, a text file with one a line, or LAVCap's JSON file
            ``{task: ["<Speech><SpeechHere></Speech> prompt", ...]}``. None: fifteen of our own.
        prompt: Prompt of the evaluation. None: the first of ``prompts``.
        chat_template: Put the filled template as the user's turn into the tokenizer's chat template.
        task: Task whose prompts are taken from a JSON file.
    """

    template: str | None = None
    prompts: list[str] | Path | None = None
    prompt: str | None = None
    chat_template: bool = False
    task: str = "audiocaption"


def read_prompts(prompts: Sequence[str] | Path | str | None, *, task: str = "audiocaption") -> tuple[str, ...]:
    """Return the instructions to train with.

    Args:
        prompts: A list of them, a text file with one a line, a JSON file of LAVCap's form (see :class:`Prompting`), or None
            for :data:`CAPTION_PROMPTS`.
        task: Task whose prompts are taken from a JSON file.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if there is no instruction in it, or a JSON file has another form.
    """
    if prompts is None:
        return CAPTION_PROMPTS
    lines = _lines(Path(prompts), task) if isinstance(prompts, (str, Path)) else prompts
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise ValueError("decoder.prompting.prompts holds no prompt; give at least one, or null for the built-in list.")
    return found


def _lines(path: Path, task: str) -> Sequence[str]:
    """Return the prompts of a file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"decoder.prompting.prompts: there is no file {path}; name a text file with one prompt a line, or a JSON file."
        )
    text = read_text(path)
    if path.suffix.lower() != ".json":
        return text.splitlines()
    tasks = parse_json(text, str(path))
    if not isinstance(tasks, dict):
        raise ValueError(f"{path} is no list of prompts by task; write {{task: [prompt, ...]}}.")
    if task not in tasks:
        raise ValueError(
            f"{path} has no prompts of the task {task}; set decoder.prompting.task to one of {', '.join(tasks) or 'its own'}."
        )
    prompts = tasks[task]
    if not isinstance(prompts, list) or not all(is_text(prompt) for prompt in prompts):
        raise ValueError(f"{path}: the task {task} must be a list of prompts.")
    for prompt in prompts:
        if not prompt.startswith(OFFICIAL_TOKENS) or not prompt[len(OFFICIAL_TOKENS) :].strip():
            raise ValueError(
                f"{path}: the prompt {prompt!r} of the task {task} must be {OFFICIAL_TOKENS!r} and an instruction."
            )
    return [prompt.removeprefix(OFFICIAL_TOKENS) for prompt in prompts]


def check_template(template: str) -> str:
    """Return the template if it has ``{tokens}`` once and ``{prompt}`` at most once; raise otherwise.

    Raises:
        ValueError: otherwise.
    """
    if template.count(TOKENS) != 1 or template.count(PROMPT) > 1:
        raise ValueError(
            f"decoder.prompting.template must hold {TOKENS} exactly once and {PROMPT} at most once, not {template!r}."
        )
    return template


def fill_template(template: str, prompt: str, tokenizer: Any | None = None) -> tuple[str, str]:
    """Return the text before and after the fused tokens.

    Args:
        template: Text with ``{tokens}`` and ``{prompt}``.
        prompt: The instruction.
        tokenizer: A Hugging Face tokenizer whose chat template wraps the text as one turn of the user, or None.

    Raises:
        ValueError: if the instruction holds the placeholder, or the tokenizer has no chat template or one that loses it.
    """
    if TOKENS in prompt:
        raise ValueError(f"The prompt {prompt!r} must not hold {TOKENS}, which stands in decoder.prompting.template.")
    text = template.replace(PROMPT, prompt)
    if tokenizer is not None:
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError(
                "decoder.prompting.chat_template is true, but the tokenizer has no chat template; set it to false."
            )
        turn = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        if text.count(TOKENS) != 1:
            raise ValueError(
                "The tokenizer's chat template does not keep the user's text; set decoder.prompting.chat_template: false."
            )
    before, after = text.split(TOKENS)
    return before, after


class PromptTable:
    """Instructions as the token ids around the fused tokens; each is tokenised once, when it is first used.

    Args:
        codec: Pads the ids.
        split: An instruction -> the ids of all text before the fused tokens and of all text after them.
    """

    def __init__(self, codec: TextCodec, split: Callable[[str], tuple[list[int], list[int]]]) -> None:
        self._codec = codec
        self._split = split
        self._known: dict[str, tuple[list[int], list[int]]] = {}

    def rows(self, prompts: Sequence[str]) -> tuple[Ids, Ids]:
        """Return ids before the fused tokens (padded right) and after them (padded left), a row a prompt.

        Raises:
            ValueError: if nothing stands after the tokens.
        """
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._known:
                self._known[prompt] = self._split(prompt)
            if not self._known[prompt][1]:
                raise ValueError(
                    f"decoder.prompting.template ends with {TOKENS}; put some text behind it, from which the caption goes on."
                )
        before, after = zip(*(self._known[prompt] for prompt in prompts), strict=True)
        return self._codec.pad(before), self._codec.pad(after, "left")
