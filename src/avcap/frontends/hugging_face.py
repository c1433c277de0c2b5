"""Any feature extractor of the transformers library."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from avcap.frontends.base import SAMPLE_RATE, FrontEnd, as_batch

if TYPE_CHECKING:
    from torch import Tensor

KALDI_SHIFT = 0.01  # seconds between rows where an extractor does not tell: those made by Kaldi's filter bank


class HuggingFaceFeatures(FrontEnd):
    """The output of a feature extractor of transformers (``ASTFeatureExtractor``, ``WhisperFeatureExtractor``, ...).

    The extractor normalises by itself. Most pad to a fixed length by themselves too; their padding counts as sound, as
    in the models that they belong to. A spectrogram of ``[F, T]`` (Whisper) is transposed to ``[T, F]``.

    Args:
        extractor: Name of a class of transformers, a local folder, or a hub name.
        settings: Settings of the extractor, over its own.
        target_length: Rows of the encoder's input; None: as many as the extractor gives for one second of sound, which is all
            for those that pad. Without it, the extractor is read at once.
        sample_rate: Samples a second that the extractor was made for; the shards must have been made with the same.
    """

    def __init__(
        self,
        extractor: str,
        *,
        settings: dict[str, Any] | None = None,
        target_length: int | None = None,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        self.extractor = extractor
        self.own_settings = dict(settings or {})
        self.sample_rate = sample_rate
        super().__init__(target_length or len(self._example))

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the extractor."""
        return self._extractor.to_dict()

    @property
    def row_shape(self) -> tuple[int, ...]:
        """As the extractor's rows are."""
        return tuple(self._example.shape[1:])

    @property
    def label(self) -> str:
        """The name of the extractor's class or folder."""
        return Path(self.extractor).name.lower()

    @property
    def hop(self) -> float:  # type: ignore[override]
        """Seconds between two rows, from the extractor's own hop where it has one."""
        if self._example.ndim == 1:
            return 1 / self.sample_rate
        samples = getattr(self._extractor, "hop_length", None)
        return KALDI_SHIFT if samples is None else samples / self.sample_rate

    def features(self, wave: Tensor) -> Tensor:
        """See :meth:`FrontEnd.features`."""
        as_batch(wave, 1)
        found = self._extractor(wave.float().numpy(), sampling_rate=self.sample_rate, return_tensors="np")
        features = torch.as_tensor(found[self._extractor.model_input_names[0]][0], dtype=torch.float32, device="cpu")
        return features.T.contiguous() if self._is_transposed(features) else features

    def _is_transposed(self, features: Tensor) -> bool:
        rows = getattr(self._extractor, "feature_size", 1)
        return features.ndim == 2 and rows > 1 and features.shape[0] == rows

    @cached_property
    def _example(self) -> Tensor:
        """The features of one second of silence."""
        return self.features(torch.zeros(self.sample_rate, device="cpu"))

    @cached_property
    def _extractor(self) -> Any:
        """The extractor itself.

        Raises:
            ValueError: if it is made for another sample rate, or there is none of that name.
        """
        import transformers

        kind = getattr(transformers, self.extractor, None)
        try:
            if isinstance(kind, type) and issubclass(kind, transformers.FeatureExtractionMixin):
                made: Any = kind(**self.own_settings)
            else:
                settings = {**self.own_settings, "trust_remote_code": False}
                made = transformers.AutoFeatureExtractor.from_pretrained(self.extractor, **settings)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"frontend.extractor: {self.extractor!r} is no feature extractor ({str(error).splitlines()[0]}); name a class of "
                "transformers, a local folder or a hub name."
            ) from error
        if made.sampling_rate != self.sample_rate:
            raise ValueError(
                f"frontend.extractor: {self.extractor} reads {made.sampling_rate} samples a second, and frontend.sample_rate is "
                f"{self.sample_rate}; set both to the same."
            )
        return made
