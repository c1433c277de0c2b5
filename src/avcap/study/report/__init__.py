"""Runs side by side: tables and one HTML page."""

from avcap.study.report.table import results_table, rows_of

__all__ = ["results_table", "rows_of"]
