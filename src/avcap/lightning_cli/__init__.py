"""LightningCLI with avcap's components registered and its defaults set."""

from avcap.lightning_cli.cli import AvcapCLI, build_cli
from avcap.lightning_cli.ends import exit_status
from avcap.lightning_cli.parser import AvcapParser
from avcap.lightning_cli.quiet import quieten
from avcap.lightning_cli.run_files import ProgressWithoutVersion, SaveRunConfig

__all__ = ["AvcapCLI", "AvcapParser", "ProgressWithoutVersion", "SaveRunConfig", "build_cli", "exit_status", "quieten"]
