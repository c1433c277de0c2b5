"""The size of constructors, which are the config schema: what a config can name has few arguments, each documented."""

from __future__ import annotations

import inspect

import pytest
from jsonargparse import ArgumentParser

from avcap.commands.listing import KINDS, family
from avcap.decoders import Decoder

LIMIT = 10
DECODER_LIMIT = 14  # a language model with its tokenizer, adapters, number format and search
KNOWN = {
    "CAVMAEAudio",
    "CAVMAEVisual",
    "CEDEncoder",
    "DALIAudio",
}  # to be deleted once the encoders take their sizes as one

COMPONENTS = [
    component
    for kind in KINDS
    for component in family(kind)
    if component.__module__.startswith("avcap.") and component.__name__ not in KNOWN
]


def arguments(component: type) -> list[str]:
    """The arguments as a config sees them, those behind ``**`` included."""
    found = ArgumentParser().add_class_arguments(component, fail_untyped=False)
    return list(dict.fromkeys(name.partition(".")[0] for name in found))


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_a_constructor_has_few_arguments(component: type) -> None:
    names = arguments(component)
    limit = DECODER_LIMIT if issubclass(component, Decoder) else LIMIT
    # the widths that the system hands to a fusion or decoder count as well
    assert len(names) <= limit, f"{component.__name__} has {len(names)} arguments: {', '.join(names)}"


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_every_own_argument_is_documented(component: type) -> None:
    own = vars(component).get("__init__")
    if own is None:
        return
    text = "\n".join(inspect.getdoc(base) or "" for base in component.__mro__)  # the widths are those of Fusion
    names = [
        name for name, p in inspect.signature(own).parameters.items() if name != "self" and p.kind != p.VAR_KEYWORD
    ]
    assert [name for name in names if f"\n    {name}: " not in text] == []


def test_arguments_behind_a_double_star_are_counted() -> None:
    (attention,) = (component for component in COMPONENTS if component.__name__ == "OTAttention")
    assert {"rescale", "epsilon", "plan", "loss_weight"} <= set(arguments(attention))
