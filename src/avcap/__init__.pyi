from .decoders import CausalLMDecoder, GITDecoder, LlavaDecoder
from .encoders import CAVMAEAudio, CAVMAEVisual, CEDEncoder, CLIPVisual, DALIAudio, TimmVisual
from .fusion import OTAttention, TimeConcat, TokenConcat
from .layers.vit import ViTSize
from .losses import AttentiveOTAlignment, MMDAlignment, OTAlignment
from .metrics import evaluate, human_bound
from .models import CaptionModel
from .trained import FileCaptioner, load
from .transport import emd, mmd, sinkhorn
from .types import Tokens

__version__: str
__all__ = [
    "AttentiveOTAlignment",
    "CAVMAEAudio",
    "CAVMAEVisual",
    "CEDEncoder",
    "CLIPVisual",
    "CaptionModel",
    "CausalLMDecoder",
    "DALIAudio",
    "FileCaptioner",
    "GITDecoder",
    "LlavaDecoder",
    "MMDAlignment",
    "OTAlignment",
    "OTAttention",
    "TimeConcat",
    "TimmVisual",
    "TokenConcat",
    "Tokens",
    "ViTSize",
    "emd",
    "evaluate",
    "human_bound",
    "load",
    "mmd",
    "sinkhorn",
]
