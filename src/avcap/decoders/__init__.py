"""Decoders: fused tokens -> captions.

``CausalLMDecoder``: a Hugging Face causal language model that reads the fused tokens inside a prompt (LAVCap).
``LlavaDecoder``: the language model of LLaVA, with an optional learned prefix (DALI).
``GITDecoder``: a BERT-style text decoder after a prefix of fused tokens (AVCap), with its searches:
``GeneratorBeamSearch`` (the official one), ``SingleSequence`` (greedy, sampling).
"""

from avcap.decoders.base import Decoder
from avcap.decoders.causal_lm import CausalLMDecoder
from avcap.decoders.git import GITDecoder
from avcap.decoders.llava import LlavaDecoder
from avcap.decoders.search_beam import GeneratorBeamSearch
from avcap.decoders.search_single import SingleSequence
from avcap.decoders.search_step import Search
