"""ROUGE-L in plain Python, equal to coco-caption's (and so aac-metrics') on the same words.

Lin, "ROUGE: a package for automatic evaluation of summaries", ACL workshop 2004, section 3: the F-measure of the longest
common subsequence.
"""

from __future__ import annotations

from collections.abc import Sequence

BETA = 1.2
"""How much more recall weighs than precision."""


def rouge_l(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Compute ROUGE-L of one tokenised caption per clip: the best precision and the best recall over the references.

    Returns:
        The score of every clip (0 to 1); the corpus score is their mean. A caption without words has 0.
    """
    return [
        _f_measure(caption.split(), [reference.split() for reference in several])
        for caption, several in zip(captions, references, strict=True)
    ]


def _f_measure(caption: list[str], references: list[list[str]]) -> float:
    """Compute the score of one caption."""
    common = [longest_common_subsequence(caption, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(caption)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True) if length)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the words in the longest common subsequence of two texts; order matters, gaps do not."""
    row = [0] * (len(second) + 1)  # row[j]: of the words of ``first`` so far and the first j of ``second``
    for word in first:
        before = 0  # row[j] as it was a word ago
        for j, other in enumerate(second, start=1):
            above = row[j]
            row[j] = before + 1 if word == other else max(above, row[j - 1])
            before = above
    return row[-1]
