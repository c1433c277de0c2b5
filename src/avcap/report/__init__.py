"""What a run leaves to be read: results files, tables, and pictures of assignment maps."""

from avcap.report.maps import by_time, draw_map, figure_map
from avcap.report.results import make_results, read_results, write_results
from avcap.report.table import results_table, rows_of
from avcap.report.tokens_figure import figure_tokens

__all__ = [
    "by_time",
    "draw_map",
    "figure_map",
    "figure_tokens",
    "make_results",
    "read_results",
    "results_table",
    "rows_of",
    "write_results",
]
