"""The content of a checkpoint, and the check that it fits a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from avcap.checkpoints.loading import LEFT_OUT

INPUTS_KEY = "avcap_inputs"  # entry of a checkpoint: how its data module made the inputs


def reloadable(module: nn.Module, parts: Sequence[str]) -> set[str]:
    """Return the names of the state that need not be saved: frozen weights that their parts can load again.

    A frozen part with random weights stays in the checkpoint, since nothing else holds it. What else a
    module saves (running statistics, the scales of quantized weights) goes with its own parameters.

    Args:
        module: The system.
        parts: Names of its parts; a part with ``pretrained`` set can load its weights again, but for what it lists as
            ``always_saved`` (names of submodules that its file may lack).
    """
    names: set[str] = set()
    for part_name in parts:
        part = getattr(module, part_name)
        if part is None or getattr(part, "pretrained", None) is None:
            continue
        for prefix, owner in part.named_modules(prefix=part_name):
            own = dict(owner.named_parameters(recurse=False))
            names.update(f"{prefix}.{name}" for name, parameter in own.items() if not parameter.requires_grad)
            if not any(parameter.requires_grad for parameter in own.values()):
                names.update(f"{prefix}.{name}" for name, _ in owner.named_buffers(recurse=False))
                state: dict[str, Any] = {}
                owner._save_to_state_dict(state, f"{prefix}.", keep_vars=True)
                names.update(state)
        kept = tuple(f"{part_name}.{submodule}." for submodule in getattr(part, "always_saved", ()))
        names = {name for name in names if not name.startswith(kept)}
    return names


def leave_out(
    module: nn.Module, parts: Sequence[str], checkpoint: dict[str, Any], *, kept: Collection[str] = ()
) -> None:
    """Take what need not be saved out of a checkpoint's state, but for ``kept``, and note the names (see :func:`reloadable`)."""
    state = checkpoint["state_dict"]
    names = sorted((reloadable(module, parts) - set(kept)) & state.keys())
    for name in names:
        del state[name]
    checkpoint[LEFT_OUT] = names


def check_state(module: nn.Module, state: Mapping[str, Any], absent_ok: set[str]) -> None:
    """Compare names and shapes of ``state`` with the module.

    Raises:
        ValueError: if a name is missing (and not in ``absent_ok``) or unknown, or if a shape differs.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and name not in absent_ok]
    unexpected = [name for name in state if name not in own]
    other = [n for n, v in state.items() if n in own and hasattr(v, "shape") and v.shape != own[n].shape]
    if not (missing or unexpected or other):
        return
    found = []
    if missing:
        found.append(f"{len(missing)} tensors of the model are not in it (first: {missing[0]})")
    if unexpected:
        found.append(f"{len(unexpected)} of its tensors are not in the model (first: {unexpected[0]})")
    if other:
        name = other[0]
        found.append(
            f"{len(other)} differ in shape (first: {name}, {tuple(state[name].shape)} against {tuple(own[name].shape)})"
        )
    raise ValueError(
        f"The checkpoint belongs to another architecture: {'; '.join(found)}; use the config that it was trained with."
    )


def require_current(checkpoint: Mapping[str, Any], path: object = "The checkpoint") -> None:
    """Refuse the checkpoint of a captioner whose shards, not its audio encoder, said how it hears.

    Raises:
        ValueError: naming the checkpoint.
    """
    if "front_end" in checkpoint.get(INPUTS_KEY, {}):
        raise ValueError(f"{path} is of an earlier version, in which no encoder owned its front end; train it again.")
