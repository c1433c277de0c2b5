"""LightningModules: how the parts are trained and evaluated together."""

from avcap.systems.captioner import Captioner
from avcap.systems.optimisation import Constant, Schedule, WarmupCosine

__all__ = ["Captioner", "Constant", "Schedule", "WarmupCosine"]
