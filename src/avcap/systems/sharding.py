"""Training with the weights shared out over the devices: torch's FSDP2 under Lightning, with the checkpoints of one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm, parameters_to_vector, vector_to_parameters
from torch.optim import Optimizer

from avcap.layers.blocks import transformer_blocks

NOT_SHARED = "A quantized language model (decoder.dtype) cannot be shared out over devices; take strategy: ddp."


class ShardedStrategy(ModelParallelStrategy):
    """Give each device an equal share of the decoder: of its weights, gradients and optimiser state (torch's FSDP2).

    Its blocks are gathered one at a time in the forward and the backward pass. A frozen weight in bfloat16 and a trained one
    in float32 may be in one block: each keeps its number format. The other parts, which are small beside a language model,
    are whole on each device, as under DDP: their gradients are averaged once a step, and a batch may lack a stream.

    Checkpoints are those of one device: whole tensors under their own names in one file. So a run may go on with another
    number of devices, or with another strategy. A validation gathers the whole model on each device, since its searches differ
    in length; so do ``validate``, ``test`` and ``predict``, which share nothing out.

    Args:
        keep_gathered: Keep the blocks gathered between the forward and the backward pass: faster, and only gradients and
            optimiser state are shared out then (ZeRO-2); with False the weights are, too (ZeRO-3).
        timeout: Minutes that a process waits for the others.
    """

    def __init__(self, keep_gathered: bool = False, timeout: float = 30.0) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, timeout=timedelta(minutes=timeout))
        self.keep_gathered = keep_gathered

    def setup_environment(self) -> None:
        """Lay all devices out in one dimension."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the block on one process of a node after the other: a model that is read takes its memory once on a node."""
        for turn in range(self.num_processes):
            if turn == self.local_rank:
                yield
            self.barrier()

    @property
    def is_training(self) -> bool:
        """Whether the trainer fits a model; the other verbs share nothing out."""
        return self.lightning_module is not None and self.lightning_module.trainer.state.fn == TrainerFn.FITTING

    def shard(self, part: nn.Module) -> None:
        """Share out a part, block by block; its ``forward`` and its ``loss`` gather what they compute with.

        Raises:
            ValueError: if it is quantized.
        """
        if getattr(part, "bits", None):
            raise ValueError(NOT_SHARED)
        scalars = {parameter for parameter in part.parameters() if not parameter.ndim}  # cannot be cut
        settings: dict[str, Any] = {
            "mesh": self.device_mesh["data_parallel"],
            "reshard_after_forward": not self.keep_gathered,
            "ignored_params": scalars,
        }
        for block in transformer_blocks(part):
            fully_shard(block, **settings)
        fully_shard(part, **settings)
        register_fsdp_forward_method(part, "loss")

    def model_to_device(self) -> None:
        """Move the model, and let all processes begin with the same weights."""
        super().model_to_device()
        for parameter in self._whole_parameters():
            torch.distributed.broadcast(parameter.data, 0)

    def optimizer_step(self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **more: Any) -> Any:
        """Average the gradients of the whole parts over the devices before the step; FSDP2 does so for the others."""

        def averaged() -> Any:
            result = closure()
            gradients = []
            for parameter in self._whole_parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
            if gradients:
                flat = parameters_to_vector(gradients)
                torch.distributed.all_reduce(flat)
                vector_to_parameters(flat / self.world_size, gradients)
            return result

        return super().optimizer_step(optimizer, averaged, model, **more)

    def _whole_parameters(self) -> list[nn.Parameter]:
        """Return the trained parameters that each device has."""
        module: Any = self.lightning_module
        return [p for p in module.parameters() if p.requires_grad and not isinstance(p, DTensor)]

    # -- evaluation ---------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        """Gather the weights; no process waits for another in a search then."""
        for module in self._sharded():
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()

    def on_validation_end(self) -> None:
        """Share the weights out again."""
        for module in self._sharded():
            module.set_reshard_after_forward(not self.keep_gathered, recurse=False)
            module.reshard()

    def _sharded(self) -> Iterator[FSDPModule]:
        model: nn.Module = self.lightning_module  # type: ignore[assignment]  # it is there when the trainer runs
        yield from (module for module in model.modules() if isinstance(module, FSDPModule))

    # -- checkpoints --------------------------------------------------------------------------------------------

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning hands over the optimiser's state."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole tensors, on the CPU of the first process; what a checkpoint leaves out stays as it is."""
        module: Any = self.lightning_module
        left_out = module.left_out() if hasattr(module, "left_out") else set()
        state = module.state_dict()
        whole = {name: value if name in left_out else _whole(value) for name, value in state.items()}
        return whole if self.is_global_zero else {}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the state of the optimiser as one device would have it."""
        state: dict[str, Any] = Strategy.optimizer_state(self, optimizer)
        whole = {n: {name: _whole(value) for name, value in values.items()} for n, values in state["state"].items()}
        return {**state, "state": whole}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint of one device."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load whole tensors; each process keeps its share."""
        module: LightningModule = self.lightning_module  # type: ignore[assignment]
        own = module.state_dict()
        state = {name: _share(value, own.get(name)) for name, value in checkpoint["state_dict"].items()}
        module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the state of one device; each process keeps its share."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            shares = {
                number: {name: _share(value, parameters[number]) for name, value in values.items()}
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": shares})


def clip_norm(parameters: Iterable[Tensor], limit: float) -> None:
    """Clip the norm of all gradients together, of whole parameters and of those that are shared out."""
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    kinds = [[p for p in parameters if isinstance(p, DTensor) is shared] for shared in (False, True)]
    norms = [get_total_norm([p.grad for p in kind if p.grad is not None]) for kind in kinds if kind]
    if norms:
        total = torch.stack([norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]).norm()
        for kind in kinds:
            clip_grads_with_norm_(kind, limit, total)


def _whole(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _share(value: Any, like: Tensor | None) -> Any:
    """Return the share of a whole tensor that ``like`` has, if it is shared out and of that shape."""
    if not isinstance(like, DTensor) or not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    whole = value.to(like.to_local().device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
