"""``avcap doctor``: report what this machine has, what it lacks, and the remedy."""

from __future__ import annotations

import json as json_format
from itertools import groupby

from avcap.machine import Finding, examine


def doctor(*, json: bool = False) -> None:
    """Print versions, devices, Java, codecs and metrics, and a remedy for each problem.

    Always ends well: what it finds is information, not a verdict.

    Args:
        json: Print one JSON object instead: section, name, then ``value`` and ``problem``.
    """
    findings = list(examine())
    print(_json(findings) if json else _text(findings))


def _json(findings: list[Finding]) -> str:
    """Return the findings as one JSON object, by section and name."""
    sections = {
        section: {f.name: {"value": f.value, "problem": f.problem} for f in group}
        for section, group in groupby(findings, key=lambda finding: finding.section)
    }
    return json_format.dumps(sections, indent=2, ensure_ascii=False)


def _text(findings: list[Finding]) -> str:
    """Format each finding as a line, and mark problems."""
    faults = sum(bool(finding.problem) for finding in findings)
    closing = f"{faults} remark{'s' if faults != 1 else ''}, marked with !" if faults else "nothing to remark"
    return f"{finding_lines(findings)}\n\n{closing}"


def finding_lines(findings: list[Finding]) -> str:
    """Format findings as a line each, by section; minor ones without a problem are only counted."""
    lines = []
    for section, group in groupby(findings, key=lambda finding: finding.section):
        found = list(group)
        shown = [finding for finding in found if finding.problem or not finding.minor]
        lines += ["", section]
        for finding in shown:
            mark = "!" if finding.problem else " "
            remedy = f"  -> {finding.problem}" if finding.problem else ""
            lines.append(f" {mark} {finding.name:<22} {finding.value}{remedy}")
        if more := len(found) - len(shown):
            lines.append(f"   and {more} more as they should be")
    return "\n".join(lines[1:])
