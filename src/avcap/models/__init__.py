"""Models: plain ``nn.Module``s that need neither Lightning nor a config."""

from avcap.models.captioner import CaptionModel, DecoderFactory, FusionFactory
