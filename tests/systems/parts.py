"""Small parts that obey the contracts, for tests of what is around them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avcap.decoders.base import Decoder
from avcap.encoders.base import AudioEncoder, VisualEncoder
from avcap.fusion.base import Fusion
from avcap.types import AssignmentMap, Batch, FusionOutput, Tokens


class LinearAudio(AudioEncoder):
    """One token a spectrogram frame."""

    def __init__(self, mels: int = 8, width: int = 6, pretrained: str | None = None, frozen: bool = False) -> None:
        super().__init__()
        self.width, self.pretrained = width, pretrained
        self.proj = nn.Linear(mels, width).requires_grad_(not frozen)
        self.norm = nn.BatchNorm1d(width).requires_grad_(not frozen)
        self.loads = 0

    def input_shape(self, frames: int) -> tuple[int, ...]:
        return 16, self.proj.in_features

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        return Tokens(self.norm(self.proj(x).transpose(1, 2)).transpose(1, 2), mask, time)

    def load_pretrained(self) -> None:
        self.loads += 1
        nn.init.constant_(self.proj.weight, 0.5)


class MeanVisual(VisualEncoder):
    """One token a frame, its mean colour."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.width = width
        self.proj = nn.Linear(3, width)

    def input_shape(self, frames: int) -> tuple[int, ...]:
        return frames, 3, 4, 4

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        return Tokens(self.proj(x.float().mean((-2, -1)) / 255), mask, time)


class Concat(Fusion):
    """Both streams in time, with a loss of its own."""

    def __init__(self, audio_width: int | None, visual_width: int | None, *, weight: float = 0.5) -> None:
        super().__init__(audio_width, visual_width)
        self.width = audio_width or visual_width
        self.weight = weight

    def forward(self, audio: Tokens | None, video: Tokens | None) -> FusionOutput:
        given = [t for t in (audio, video) if t is not None]
        x = torch.cat([t.x for t in given], 1)
        losses = {"size": self.weight * x.square().mean()}
        maps = {}
        if len(given) == 2:
            maps = {"plan": AssignmentMap.of(torch.softmax(video.x @ audio.x.mT, -1), visual=video, audio=audio)}
        return FusionOutput(Tokens(x, torch.cat([t.full_mask() for t in given], 1)), losses, maps)


class OnlySound(Concat):
    """Reads the sound alone."""

    streams = ("audio",)


class WordDecoder(Decoder):
    """Says one of its words; its loss is the cross entropy of the word in the caption."""

    words = ("a dog barks", "a bell rings", "rain falls")

    def __init__(self, input_width: int, *, pretrained: str | None = None) -> None:
        super().__init__(input_width)
        self.pretrained = pretrained
        self.head = nn.Linear(input_width, len(self.words))
        self.generation = {"num_beams": 4}
        self.settings: list[dict] = []

    def logits(self, tokens: Tokens) -> Tensor:
        return self.head(tokens.x.mean(1))

    def loss(self, tokens: Tokens, captions: list[str], *, prompts: Sequence[str | None] | None = None) -> Tensor:
        self.prompts = prompts
        target = torch.tensor([self.words.index(c) for c in captions], device=tokens.x.device)
        return nn.functional.cross_entropy(self.logits(tokens), target)

    def dry_loss(self, tokens: Tokens, text_tokens: int) -> Tensor:
        return self.logits(tokens).logsumexp(-1).mean()

    def generate(self, tokens: Tokens, **settings: object) -> list[str]:
        self.settings.append(settings)
        return [self.words[i] for i in self.logits(tokens).argmax(-1).tolist()]

    def load_pretrained(self) -> None:
        nn.init.zeros_(self.head.bias)


def batch(size: int = 3, audio: bool = True, video: bool = True) -> Batch:
    """A batch of random clips with captions that WordDecoder knows."""
    out: Batch = {
        "id": [f"clip{i:07d}_0" for i in range(size)],
        "caption": [WordDecoder.words[i % 3] for i in range(size)],
        "references": [[WordDecoder.words[i % 3], "a sound is heard"] for i in range(size)],
    }
    if audio:
        out["fbank"] = torch.randn(size, 16, 8)
        out["fbank_mask"] = torch.ones(size, 16, dtype=torch.bool)
        out["fbank_time"] = (torch.arange(16) * 0.01 + 0.005).expand(size, -1)
    if video:
        out["frames"] = torch.randint(0, 255, (size, 2, 3, 4, 4), dtype=torch.uint8)
        out["frames_mask"] = torch.ones(size, 2, dtype=torch.bool)
        out["frames_time"] = torch.tensor([0.03, 0.09]).expand(size, -1)
    return out
