"""LightningModules: how the parts are trained and evaluated together."""

from avcap.systems.alignment import Alignment
from avcap.systems.captioner import Captioner
from avcap.systems.language import LanguageModelling
from avcap.systems.optimisation import Constant, Schedule, StepDecay, WarmupCosine, WarmupLinear
from avcap.systems.sharding import ShardedStrategy
from avcap.systems.system import System
