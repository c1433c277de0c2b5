"""Front ends: the sound of a clip -> the input of an audio encoder, which owns the one it was made for.

Importing this package makes the short class names known to configs.
"""

from avcap.frontends.base import FrontEnd
from avcap.frontends.ced import CEDMelSpectrogram
from avcap.frontends.hugging_face import HuggingFaceFeatures
from avcap.frontends.inputs import Inputs
from avcap.frontends.kaldi import KaldiFbank
from avcap.frontends.waveform import Waveform
