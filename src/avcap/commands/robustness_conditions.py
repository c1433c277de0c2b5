"""The conditions of the robustness test, and which of them fit a captioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from avcap.data.corruptions import Corruption, suite
from avcap.study.report.robustness import BOTH

if TYPE_CHECKING:
    from avcap.models import CaptionModel

CLEAN = "clean"


def choose(
    given: Sequence[Corruption] | None, only: Sequence[str] | None, model: CaptionModel
) -> tuple[dict[str, tuple[Corruption, ...]], dict[str, str]]:
    """Return the conditions to test, and those that this model cannot be tested under, with the reason.

    Raises:
        ValueError: if ``only`` names neither a condition nor a family nor a stream.
    """
    known = suite() if given is None else {corruption.name: (corruption,) for corruption in given}
    kinds = {name: {name, *kind_of(corruptions)} for name, corruptions in known.items()}
    if unknown := set(only or ()) - set().union(*kinds.values()):
        raise ValueError(
            f"There is no condition {', '.join(sorted(unknown))}; name conditions ({', '.join(known)}), families or streams."
        )
    chosen: dict[str, tuple[Corruption, ...]] = {}
    left_out: dict[str, list[str]] = {}  # reason -> conditions
    for name, corruptions in known.items():
        if only and not kinds[name] & set(only):
            continue
        reasons = [reason for corruption in corruptions if (reason := why_not(corruption, model))]
        if reasons:
            left_out.setdefault(reasons[0], []).append(name)
        else:
            chosen[name] = corruptions
    return chosen, {", ".join(names): reason for reason, names in left_out.items()}


def why_not(corruption: Corruption, model: CaptionModel) -> str | None:
    """Return why a model cannot be tested with a corruption; None if it can."""
    encoder = model.encoders.get(corruption.stream)
    if encoder is None:
        return f"the model reads no {corruption.stream}"
    if encoder.input not in corruption.inputs:
        return (
            f"the model reads {encoder.input}, and {type(corruption).__name__} works on {', '.join(corruption.inputs)}"
        )
    return None


def kind_of(corruptions: Sequence[Corruption]) -> tuple[str, str]:
    """Return stream and family of a condition; the stream is ``both`` if it corrupts both, ``clean`` if none."""
    streams = {corruption.stream for corruption in corruptions}
    families = {corruption.family for corruption in corruptions}
    return (streams.pop() if len(streams) == 1 else BOTH), families.pop() if families else CLEAN


def describe(corruptions: Sequence[Corruption]) -> list[dict[str, Any]]:
    """Return the class and arguments of corruptions, ready for JSON."""
    return [{"class": type(corruption).__name__, **vars(corruption)} for corruption in corruptions]
