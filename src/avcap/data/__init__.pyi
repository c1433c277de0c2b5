from .audiocaps import AudioCapsDataModule as AudioCapsDataModule
from .front_end import CEDMelSpectrogram as CEDMelSpectrogram
from .front_end import FrontEnd as FrontEnd
from .front_end import KaldiFbank as KaldiFbank
from .text_module import TextDataModule as TextDataModule
from .transforms import NoiseRoll as NoiseRoll
from .transforms import SpecAugment as SpecAugment
from .transforms import Transform as Transform
