"""Layer-wise decay of the learning rate: the further a layer is from the output, the smaller its steps."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

Blocks = nn.ModuleList | nn.Sequential


def layer_decay_scales(module: nn.Module, layer_decay: Mapping[str, float]) -> dict[Tensor, float]:
    """Return the learning rate factors of the parameters of some submodules, by path (``decoder.text``); others are left out.

    In a submodule with blocks 0 to n - 1, block i has the factor ``decay ** (n - 1 - i)``, so the last one has 1; what comes
    before the blocks has ``decay ** n``, what comes after them 1 (Clark et al., "ELECTRA", ICLR 2020; BEiT and MAE tune so,
    with their new head as layer n). Blocks are found in any architecture as the list of modules of one class
    (``nn.ModuleList`` or ``nn.Sequential``) that holds the most parameters; before and after are the order in which
    layers were made, which is the order of data in encoders and decoders here.

    Raises:
        ValueError: if a decay is not in (0, 1], a path is not in the system or within another one, or there are no blocks.
    """
    scales: dict[Tensor, float] = {}
    for path, decay in layer_decay.items():
        if not 0 < decay <= 1:
            raise ValueError(f"layer_decay.{path} is {decay}; choose a value above 0 and up to 1.")
        own = _scales(path, _find(module, path), decay)
        if scales.keys() & own.keys():
            raise ValueError(f"layer_decay names {path} and a module that holds it or is in it; name one of them.")
        scales |= own
    return scales


def find_blocks(module: nn.Module) -> Blocks | None:
    """Return the list of modules of one class with the most parameters, or None if there is none."""
    stacks = [m for m in module.modules() if isinstance(m, Blocks) and _uniform(m)]
    return max(stacks, key=_size, default=None)


def _find(module: nn.Module, path: str) -> nn.Module:
    try:
        found = module.get_submodule(path)
    except AttributeError as error:
        names = ", ".join(name for name, _ in module.named_children())
        raise ValueError(f"layer_decay names {path}, which the system does not have; it has {names}.") from error
    return found


def _scales(path: str, module: nn.Module, decay: float) -> dict[Tensor, float]:
    blocks = find_blocks(module)
    if blocks is None:
        raise ValueError(f"layer_decay names {path}, which has no list of equal blocks; leave it out.")
    layer_of: dict[Tensor, int] = {p: i for i, block in enumerate(blocks, start=1) for p in block.parameters()}
    scales: dict[Tensor, float] = {}
    layer = 0
    for parameter in module.parameters():
        layer = layer_of.get(parameter, layer and len(blocks))
        scales[parameter] = decay ** (len(blocks) - layer)
    return scales


def _uniform(stack: Blocks) -> bool:
    return len({type(block) for block in stack}) == 1 and _size(stack) > 0


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
