"""The contract of a foreign checkpoint format: recognition, new key names, and keys that may be left out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class ImportOptions:
    """The options of an import; each format reads those that concern it.

    Args:
        target_length: Frames of the longest spectrogram; time positions of an audio encoder are fitted to it.
        projection: Take GIT's visual projection as the decoder's; the official AVCap code starts that at random.
    """

    target_length: int = 1024
    projection: bool = False


class Conversion(NamedTuple):
    """A checkpoint under our names, and the account of its keys."""

    state: dict[str, Tensor]  # our name -> tensor
    required: frozenset[str]  # our names that the component needs
    ignored: tuple[str, ...]  # source keys left out on purpose
    unexpected: tuple[str, ...]  # source keys that nobody knows
    about: dict[str, str]  # sizes, written into the metadata of the file


class CheckpointFormat(ABC):
    """A foreign checkpoint format: a key table and a pure function; it imports no model.

    Attributes:
        name: What ``--format`` calls it.
        component: Class that the weights are for.
        summary: One line for people.
        part: What ``part.`` our names lack where the checkpoint is of one component (``audio``, ``decoder.prefix``); None where
            they begin with their parts.
        wrapper: The key below which the official code keeps the state dict; None: there is none.
    """

    name: ClassVar[str]
    component: ClassVar[str]
    summary: ClassVar[str]
    part: ClassVar[str | None] = None
    wrapper: ClassVar[str | None] = None

    @abstractmethod
    def matches(self, keys: Collection[str]) -> bool:
        """Return whether a checkpoint with these keys has this format, judged by its structure."""

    @abstractmethod
    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Rename, crop and fit the tensors.

        Raises:
            ValueError: if a tensor has a shape that cannot be used.
        """

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert weights under our names back to the names (and shapes) of this format.

        Args:
            state: Our names, each beginning with its part (``audio.``, ``visual.``, ``joint.``, ``decoder.``); parts that
                the format does not hold are not read.

        Raises:
            ValueError: if the format has no way back, or a weight is missing or has no place in it.
        """
        raise ValueError(f"{self.name} checkpoints can be imported only; export to another --format.")
