"""The decoder contract: fused tokens (and captions) in, a loss or captions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torch import Tensor, nn

from avcap.types import Generation, Tokens


class Decoder(nn.Module, ABC):
    """Fused tokens -> captions.

    Args:
        input_width: Channels of the fused tokens.

    Attributes:
        pretrained: Where :meth:`load_pretrained` reads weights from, or None.
        generation: The default decoding settings.
        told: Is told, by :meth:`loss`, how many places the batch has and how many of them hold a token; or None.
    """

    pretrained: str | None = None
    told: Callable[[int, Tensor | int], None] | None = None
    generation: Generation

    def __init__(self, input_width: int) -> None:
        super().__init__()
        self.input_width = input_width

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the methods of a class take plain tensors ``[B, N, C]`` in the place of tokens."""
        super().__init_subclass__(**kwargs)
        for name in ("loss", "generate", "generate_nbest"):
            if name in vars(cls):
                setattr(cls, name, _accept_tensor(vars(cls)[name]))

    @abstractmethod
    def loss(self, tokens: Tokens, captions: list[str], *, prompts: Sequence[str | None] | None = None) -> Tensor:
        """Compute the captioning loss, a scalar: the mean over the predicted text tokens of the batch.

        Args:
            tokens: Fused tokens ``[B, N, C]``.
            captions: One caption a clip.
            prompts: The instruction of each clip, None where the decoder's own counts; None: for no clip another one.

        Raises:
            ValueError: if a clip has an instruction and the decoder takes none.
        """

    def refuse_prompts(self, prompts: Sequence[str | None] | None) -> None:
        """Raise where a clip has an instruction; for the loss of a decoder that takes none."""
        if any(prompts or ()):
            raise ValueError(
                f"{type(self).__name__} reads no instruction, but data.captions.path has rows with a prompt; leave them out of the "
                "file, or choose a decoder that is a language model, such as CausalLMDecoder."
            )

    def tell(self, tokens: Tokens, text: Tensor) -> None:
        """Tell :attr:`told` of ``tokens`` ``[B, N, C]`` and of the text that follows, ``[B, L]``, True where it is real."""
        if self.told is not None:
            before = tokens.x.shape[0] * tokens.x.shape[1] if tokens.mask is None else tokens.mask.sum()
            self.told(tokens.x.shape[0] * tokens.x.shape[1] + text.numel(), before + text.sum().to(tokens.x.device))

    @abstractmethod
    def dry_loss(self, tokens: Tokens, text_tokens: int) -> Tensor:
        """Compute the loss of made-up text without a tokenizer, to measure a training step (``avcap check``).

        Args:
            tokens: Fused tokens ``[B, N, C]``, on the meta device as a rule.
            text_tokens: Text tokens a clip, prompt and caption together.
        """

    @abstractmethod
    def generate(self, tokens: Tokens, **settings: Any) -> list[str]:
        """Generate one caption per clip; ``settings`` override :attr:`generation`. Deterministic unless it samples."""

    def generate_nbest(self, tokens: Tokens, *, count: int, **settings: object) -> list[list[tuple[str, float]]]:
        """Return the ``count`` best captions of each clip with their scores, the best first; not every decoder can return several."""
        raise ValueError(
            f"{type(self).__name__} keeps one caption a clip; choose a decoder with n-best lists, such as CausalLMDecoder."
        )

    def load_pretrained(self) -> None:
        """Load the weights that ``pretrained`` names; do nothing if it is None."""
        if self.pretrained is not None:
            raise ValueError(f"{type(self).__name__} cannot load pretrained weights; set pretrained: null.")


def _accept_tensor(method: Callable) -> Callable:
    @wraps(method)
    def of_tokens(self: Decoder, tokens: Tensor | Tokens, *args: Any, **kwargs: Any) -> Any:
        return method(self, Tokens.of(tokens), *args, **kwargs)

    return of_tokens
