from .audiocaps import AudioCapsDataModule as AudioCapsDataModule
from .choices import Captions as Captions
from .choices import ClipChoice as ClipChoice
from .frame_sampling import FrameChoice as FrameChoice
from .text_module import TextDataModule as TextDataModule
from .transforms import NoiseRoll as NoiseRoll
from .transforms import SpecAugment as SpecAugment
from .transforms import Transform as Transform
