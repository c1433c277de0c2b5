"""Decoders: fused tokens -> captions.

``CausalLMDecoder``: a Hugging Face causal language model that reads the fused tokens inside a prompt (LAVCap).
"""

from avcap.decoders.base import Decoder
from avcap.decoders.causal_lm import CausalLMDecoder

__all__ = ["CausalLMDecoder", "Decoder"]
