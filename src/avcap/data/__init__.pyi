from .audiocaps import AudioCapsDataModule as AudioCapsDataModule
from .audiocaps import Captions as Captions
from .frame_sampling import FrameChoice as FrameChoice
from .splits import ClipChoice as ClipChoice
from .text_module import TextDataModule as TextDataModule
from .transforms import NoiseRoll as NoiseRoll
from .transforms import SpecAugment as SpecAugment
from .transforms import Transform as Transform
