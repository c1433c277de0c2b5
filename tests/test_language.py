"""The words of the glossary (docs/glossary.md), and docstrings that begin with what a function does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src"

# Words that docs/glossary.md replaces, and where they may stand all the same: (end of a path, words around it, reason).
REPLACED = {
    r"modalit(y|ies)": "stream",
    r"ears?": "front end",
    r"pictures?": "frame (of a video), image (LLaVA, DALI) or figure",
    r"spoils?|spoilt": "corrupt",
    r"partitions?": "split",
    r"couplings?": "plan",
    r"attention maps?": "assignment map",
}
ALLOWED = [
    ("metrics/bias.py", "modality-bias index", "the name of the index"),
    ("report/robustness.py", "modality-bias index", "the name of the index"),
    ("study/dali.py", "``modality``", "the name of a setting"),
    ("losses/dali_objective.py", "An Eye for an Ear", "the title of DALI's paper"),
    ("systems/alignment.py", "An Eye for an Ear", "the title of DALI's paper"),
    ("encoders/dali_audio.py", "An eye for an ear", "the title of DALI's paper"),
    ("drawings/creatures.py", "pointed ears", "a cat has two"),
]

# How a noun phrase begins, which ruff's D401 takes for a verb or does not know.
NOUN_PHRASE = re.compile(r"(The|A|An|What|Whether|How|Which|Where|When|Why|None|One|All|Each|Every)\b|``")


def docstrings() -> Iterator[tuple[str, ast.AST, str]]:
    """Yield path, node and text of every docstring."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield path.relative_to(SOURCES).as_posix(), node, " ".join(text.split())


@pytest.mark.parametrize("word", REPLACED)
def test_docstrings_use_the_words_of_the_glossary(word: str) -> None:
    found = []
    for path, _, text in docstrings():
        for end, words, _ in ALLOWED:
            text = text.replace(words, "") if path.endswith(end) else text
        found += [f"{path}: ...{text[max(0, m.start() - 40) : m.end() + 20]}" for m in _matches(word, text)]
    assert found == [], f"say {REPLACED[word]}"


def test_every_allowed_word_is_still_there() -> None:
    texts = [(path, text) for path, _, text in docstrings()]
    assert [entry for entry in ALLOWED if not any(p.endswith(entry[0]) and entry[1] in text for p, text in texts)] == []


def test_functions_say_first_what_they_do() -> None:
    found = [
        f"{path}: {text[:60]}"
        for path, node, text in docstrings()
        if isinstance(node, ast.FunctionDef) and not _is_property(node) and NOUN_PHRASE.match(text)
    ]
    assert found == []


def _matches(word: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<![\w`.])({word})(?![\w`])", text, re.IGNORECASE)


def _is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
