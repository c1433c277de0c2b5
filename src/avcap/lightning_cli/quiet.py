"""Warnings that say nothing to a user of avcap."""

from __future__ import annotations

import logging
import warnings

QUIET = (
    ".*is an instance of `nn.Module` and is already saved.*",  # deliberate: checkpoints rebuild from the config
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*smaller than the logging interval.*",
    ".*does not have many workers.*",
    ".*Lightning couldn't infer the batch size.*",
    ".*LightningCLI's args parameter is intended to run from within Python.*",
    ".*but CUDA is not available.*",
    ".*is not supported by the model summary.*",  # SummariseModel counts
    ".*module\\(s\\) in eval mode at the start of training.*",  # those that are frozen
)


def quieten() -> None:
    """Hide warnings about intended behaviour, and advertisements."""
    for chatty in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{chatty}").addFilter(_of_use)  # added once, however often called
    for pattern in QUIET:
        warnings.filterwarnings("ignore", message=pattern)


def _of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(
        ("💡", "TPU available", "`weights_only` was not set", "Trainer already configured with model summary")
    )
