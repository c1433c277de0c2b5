"""The Penn Treebank tokeniser of CoreNLP 3.4.1, by its Java program, and the punctuation that coco-caption drops."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from avcap.metrics.java import OPTIONS

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)


def ptb_split(lines: Sequence[str], *, java: Path, jar: Path) -> list[str]:
    """Split lines, not empty, into lower-case words joined by blanks, without punctuation, in one run of the program.

    Raises:
        ValueError: If the program fails or gives back another number of lines.
    """
    if not lines:
        return []
    program = ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    done = subprocess.run(
        [str(java), *OPTIONS, "-XX:TieredStopAtLevel=1", "-cp", str(jar), *program],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    answers = done.stdout.removesuffix("\n").split("\n")
    if done.returncode or len(answers) != len(lines):
        said = done.stderr.strip().split("\n")[-1]
        raise ValueError(f"The PTB tokeniser gave {len(answers)} lines for {len(lines)} captions: {said}")
    return [" ".join(word for word in answer.split() if word not in PUNCTUATION) for answer in answers]
