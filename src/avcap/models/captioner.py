"""The captioning model: two encoders, a fusion and a decoder, composed; it knows no concrete class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from avcap.checkpoints.build import build
from avcap.checkpoints.state import check_state, reloadable
from avcap.decoders.base import Decoder
from avcap.encoders.base import AudioEncoder, Encoder, VisualEncoder
from avcap.frontends import Inputs
from avcap.fusion.base import Fusion, FusionFactory
from avcap.models.parts import empty_parameters, encode, inputs_of, is_held, load_pretrained
from avcap.types import Batch, FusionOutput

DecoderFactory = Callable[[int], Decoder]  # (width of the fused tokens) -> Decoder


class CaptionModel(nn.Module):
    """Caption clips: encode both streams, fuse the tokens, decode them to text.

    Encoders are objects; the fusion and the decoder are classes (or ``functools.partial``s of them), since their widths
    follow from what stands before them: ``CaptionModel(CEDEncoder(), CLIPVisual(), OTAttention, GITDecoder)``.

    Args:
        audio_encoder: Sound -> tokens ``[B, Na, Ca]``; None for video only.
        visual_encoder: Frames ``[B, N, 3, H, W]`` -> tokens ``[B, Nv, Cv]``; None for audio only.
        fusion: A fusion class; it is given the widths of both encoders.
        decoder: A decoder class; it is given the width of the fused tokens.

    Raises:
        ValueError: if no encoder is left that the fusion reads.
    """

    parts = ("audio_encoder", "visual_encoder", "fusion", "decoder")

    def __init__(
        self,
        audio_encoder: AudioEncoder | None,
        visual_encoder: VisualEncoder | None,
        fusion: FusionFactory,
        decoder: DecoderFactory,
    ) -> None:
        super().__init__()
        self.fusion = fusion(_width(audio_encoder), _width(visual_encoder))
        # an encoder that the fusion does not read is not kept: nothing is computed or stored for it
        self.audio_encoder = audio_encoder if "audio" in self.fusion.streams else None
        self.visual_encoder = visual_encoder if "video" in self.fusion.streams else None
        if self.audio_encoder is None and self.visual_encoder is None:
            raise ValueError(
                f"{type(self.fusion).__name__} reads {' and '.join(self.fusion.streams)} but no such encoder is given; "
                f"set model.init_args.audio_encoder or visual_encoder."
            )
        self.decoder = decoder(self.fusion.width)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> CaptionModel:
        """Rebuild a trained model.

        Args:
            settings: Class paths and arguments of the four parts, as a checkpoint's ``hyper_parameters`` hold them.
            state: The checkpoint's weights. Frozen weights that a part can read again from its ``pretrained`` may be absent.

        Raises:
            FileNotFoundError: if the file of a ``pretrained`` part is not there.
            ValueError: if a class is gone, or the weights belong to another architecture.
        """
        planned = cls.plan(settings)  # sizes are compared before memory is taken
        check_state(planned, state, absent_ok=reloadable(planned, cls.parts))
        getattr(planned.decoder, "codec", None)  # the tokenizer, if it is not there, is missed before weights are read
        parts = {name: part for name in cls.parts if (part := getattr(planned, name)) is not None}
        model = cls._of(settings, empty={name for name, part in parts.items() if is_held(part, name, state.keys())})
        groups = _tied(model)
        load_pretrained(model, parts, held=state.keys(), assigned=True)
        model.load_state_dict(_as_in(model, state), strict=False, assign=True)  # no second copy
        for names in groups:
            _tie(model, names)
        return model.eval()

    @classmethod
    def plan(cls, settings: Mapping[str, Any]) -> CaptionModel:
        """Build a model of these settings that is empty: on the meta device, for names and shapes."""
        with torch.device("meta"):
            return cls._of(settings)

    @classmethod
    def _of(cls, settings: Mapping[str, Any], *, empty: Collection[str] = ()) -> CaptionModel:
        """Build a model; the parameters of the parts in ``empty`` take no memory."""
        kinds = dict(zip(cls.parts, (AudioEncoder, VisualEncoder, Fusion, Decoder), strict=True))

        def maker(name: str) -> Callable[..., Any]:
            make = build(settings[name], kind=kinds[name], deferred=True)

            def inside(*widths: int | None) -> Any:
                with empty_parameters() if name in empty else nullcontext():
                    return make(*widths)

            return inside

        audio, visual = (None if settings[name] is None else maker(name)() for name in cls.parts[:2])
        return cls(audio, visual, maker("fusion"), maker("decoder"))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def encoders(self) -> dict[str, Encoder]:
        """Stream (``audio``, ``video``) -> the encoder that reads it; a stream that the model does not read is not in it."""
        both = {"audio": self.audio_encoder, "video": self.visual_encoder}
        return {stream: encoder for stream, encoder in both.items() if encoder is not None}

    @property
    def inputs(self) -> Inputs:
        """What is asked of the data: the encoders' keys, and the front end of the audio encoder."""
        return inputs_of(self.encoders.values())

    def fuse(self, batch: Batch) -> FusionOutput:
        """Encode both streams and fuse their tokens; a stream that the batch or the model lacks is left out."""
        return self.fusion(encode(self.audio_encoder, batch), encode(self.visual_encoder, batch))

    def forward(self, batch: Batch, **generation: Any) -> list[str]:
        """Write one caption a clip; ``generation`` overrides the decoder's own settings (``num_beams=1``)."""
        return self.decoder.generate(self.fuse(batch).tokens, **generation)

    def losses(self, batch: Batch, fused: FusionOutput | None = None) -> dict[str, Tensor]:
        """Compute every loss by name, weighted; their sum is minimised. ``fused`` is what :meth:`fuse` gave, if it was called."""
        fused = self.fuse(batch) if fused is None else fused
        caption = self.decoder.loss(fused.tokens, batch["caption"], prompts=batch.get("prompt"))
        return {"caption": caption, **fused.losses}

    def load_pretrained(self) -> None:
        """Load the published weights that the parts name.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if a file does not fit its part.
        """
        load_pretrained(self, self.parts)


def _as_in(model: CaptionModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state in the number formats of the model; an empty language model takes that of the state."""
    own = model.state_dict()
    return {
        name: tensor if own[name].is_meta and name.startswith("decoder.lm.") else tensor.to(own[name].dtype)
        for name, tensor in state.items()
    }


def _tied(model: nn.Module) -> list[list[str]]:
    """Return the names of parameters that are one."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def _tie(model: nn.Module, names: Sequence[str]) -> None:
    """Make parameters one again, after each was given its own tensor."""
    first = model.get_parameter(names[0])
    for name in names[1:]:
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, first)


def _width(encoder: Encoder | None) -> int | None:
    return None if encoder is None else encoder.width
