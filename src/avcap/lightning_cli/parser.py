"""The parser of the verbs of Lightning: avcap's components by their short names, faults in one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from inspect import signature
from operator import or_
from typing import Any, get_args

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser
from torch import optim
from torch.optim import AdamW

from avcap.components import components
from avcap.config_files import ExtendingParser

# importing a component is what registers its short name
from avcap.data import AudioCapsDataModule, TextDataModule, Transform  # noqa: F401 (registered by its import)
from avcap.decoders import Decoder
from avcap.encoders import Encoder
from avcap.explain import OneSentence
from avcap.frontends import FrontEnd
from avcap.fusion import Fusion
from avcap.losses import Aligner, AlignmentObjective, TransportDistance
from avcap.options import join_repeated
from avcap.systems import Captioner, Schedule

OVERWRITE = "--overwrite"
WEIGHTS = "--weights"
_OPTIMIZER = re.compile(r"(\boptimizer:\s*\{?\s*class_path:\s*)(\w+)(?![\w.])")
_NONE = re.compile(r"(--[\w.+]+=)None")

NAMED = (
    *(Encoder, Fusion, Decoder, Aligner, AlignmentObjective, TransportDistance),
    *(FrontEnd, Transform, Schedule, LightningModule, LightningDataModule),
)


class _OptimizerNames:
    """For parsers of jsonargparse: the short name of an optimiser in a config is torch's, whatever other library has the same."""

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Any:
        content = _OPTIMIZER.sub(lambda m: f"{m[1]}torch.optim.{m[2]}" if hasattr(optim, m[2]) else m[0], content)
        return super().parse_string(content, *args, **kwargs)  # type: ignore[misc]


class AvcapParser(OneSentence, ExtendingParser, _OptimizerNames, LightningArgumentParser):
    """The parser of the verbs of Lightning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(  # type: ignore[override]  # argparse's has overloads, jsonargparse's one more argument
        self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any
    ) -> Any:
        """Parse; ``null`` for an argument of a class inside a class is None, and a bare ``--overwrite`` is true.

        jsonargparse reads it as None and hands it to the parser of the inner class written out, ``--key=None``, which
        would be the text "None" for an argument that may be a text.
        """
        if args is not None:
            if (
                sum(word.partition("=")[0] == WEIGHTS for word in args) > 1
            ):  # once: the parser of a verb has them joined
                args = join_repeated(args, {WEIGHTS})
            args = [f"{found[1]}null" if (found := _NONE.fullmatch(word)) else word for word in args]
            args = [
                f"{word}=true" if word == OVERWRITE and after not in ("true", "false") else word
                for word, after in zip(args, [*args[1:], ""], strict=True)
            ]
        return super().parse_args(args, *more, **kwargs)

    def add_lightning_class_args(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the options of a class; ``1`` for an ``int | float`` is the int: one batch, where 1.0 would be all of them.

        Python keeps one object for unions that differ in order only, so that the int may come second, and jsonargparse takes
        the first type that fits.
        """
        added = super().add_lightning_class_args(*args, **kwargs)
        for action in self._actions:
            types = get_args(getattr(action, "_typehint", None))
            if {int, float} <= set(types):
                action._typehint = reduce(or_, sorted(types, key=lambda kind: kind is not int))  # type: ignore[attr-defined]
        return added

    def class_names(self) -> list[str]:
        """Return the short names of avcap's classes and of a user's that are imported."""
        return [component.__name__ for component in components(*NAMED)]

    def options_of_classes(self) -> list[str]:
        """Return the options of the captioner and of the data, which are there only when a config has named these."""
        kinds = {"model": Captioner, "data": AudioCapsDataModule, "model.optimizer": AdamW}
        return [f"--{key}.{name}" for key, kind in kinds.items() for name in signature(kind).parameters]
