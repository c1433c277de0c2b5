"""One self-contained HTML page: tables, learning curves, maps, and a browser of captions."""

from avcap.study.report.page.build import Illustrations, write_page

__all__ = ["Illustrations", "write_page"]
