"""Proof that everything a run needs is there, before it starts: weights, tokenizer, data, disk, memory, metrics."""

from avcap.readiness.needs import run_needs

__all__ = ["run_needs"]
