"""The ablation matrix: its cells, the inputs of their results, and their status.

Nothing here imports torch: a cell is supervised by a light process, and runs in processes of its own.
"""

from avcap.study.ablation.cell import Cell, run_cell
from avcap.study.ablation.status import Status, read_status, write_status
from avcap.study.fingerprint import fingerprint

__all__ = ["Cell", "Status", "fingerprint", "read_status", "run_cell", "write_status"]
