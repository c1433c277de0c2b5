"""Base of the systems: parts, optimiser, learning rates, and the content of a checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW, Optimizer

from avcap.checkpoints.carried_files import carry_files
from avcap.checkpoints.state import check_state, leave_out, reloadable
from avcap.encoders.base import Encoder
from avcap.frontends import Inputs
from avcap.models.frozen import is_frozen, token_name
from avcap.models.parts import inputs_of, load_pretrained
from avcap.named import named
from avcap.systems.frozen_format import MIXED, store_as_computed
from avcap.systems.layer_decay import layer_decay_scales
from avcap.systems.optimisation import Schedule, WarmupCosine, parameter_groups, path_scales
from avcap.systems.sharding import ShardedStrategy, clip_norm
from avcap.types import Batch
from avcap.weights.released import read_released

OptimizerFactory = Callable[[Iterable], Optimizer]  # parameter groups -> optimiser


def adamw(parameters: Iterable) -> Optimizer:
    """Build AdamW with its defaults, for a config without an optimiser."""
    return AdamW(parameters, lr=1e-4)


class System(LightningModule, ABC):
    """Named parts that are trained together by one optimiser.

    Attributes:
        parts: Names of the attributes that hold the parts; a part may be None.
        shared_out: Names of the parts that a :class:`ShardedStrategy` shares out.
    """

    parts: ClassVar[tuple[str, ...]]
    shared_out: ClassVar[tuple[str, ...]] = ()
    held: Collection[
        str
    ] = ()  # weights that a checkpoint or released files bring: no part reads them, each checkpoint has them
    released: Sequence[Path] = ()  # files that hold the weights of a released model together
    _pretrained_loaded = False

    @property
    def network(self) -> nn.Module:
        """The module that holds the parts; a checkpoint holds its state."""
        return self

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Compute the loss that a step minimises; ``batch`` is what the data module of this system yields."""

    def dry_loss(self, batch: Batch, *, text_tokens: int) -> Tensor:
        """Compute the loss of made-up inputs, on the meta device as a rule, to measure a training step (``avcap check``).

        ``text_tokens`` are the text tokens of a clip, prompt and caption together, where the system reads text.

        Raises:
            ValueError: if the parts do not fit together, or this system cannot do so.
        """
        raise ValueError(f"avcap check knows captioners and alignments, not {type(self).__name__}.")

    def optimise_with(
        self,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        lr_scales: Mapping[str, float] | None = None,
        layer_decay: Mapping[str, float] | None = None,
    ) -> None:
        """Keep the settings of the optimiser; to be called at the end of a constructor, when all parts are there.

        ``schedule`` None is warm-up and cosine; for the others see :func:`path_scales` and :func:`layer_decay_scales`.

        Raises:
            ValueError: if ``lr_scales`` or ``layer_decay`` names no part.
        """
        self.optimizer = optimizer
        self.schedule = schedule or WarmupCosine()
        self.lr_scales = dict(lr_scales or {})
        if unknown := [path for path in self.lr_scales if path.partition(".")[0] not in self.parts]:
            raise ValueError(f"lr_scales names {', '.join(unknown)}, but the parts are {', '.join(self.parts)}.")
        path_scales(self.network, self.lr_scales)  # a wrong path shows at once
        self.layer_decay = dict(layer_decay or {})
        layer_decay_scales(self.network, self.layer_decay)  # a wrong name shows at once

    # -- data ---------------------------------------------------------------------------------------------------

    @property
    def encoders(self) -> list[Encoder]:
        """The parts that read the data."""
        parts = (getattr(self, name, None) for name in ("audio_encoder", "visual_encoder"))
        return [part for part in parts if part is not None]

    @property
    def inputs(self) -> Inputs:
        """What the data are asked for: the encoders' keys, and the front end of the audio encoder."""
        return inputs_of(self.encoders)

    def frozen_tokens(self) -> dict[str, str]:
        """Return what each encoder reads that gives the same tokens in every epoch -> the name of these tokens."""
        return {encoder.input: token_name(encoder) for encoder in self.encoders if is_frozen(encoder)}

    def setup(self, stage: str) -> None:
        """Refuse data that never have what an encoder reads: its clips would be taken for clips without that stream.

        Raises:
            ValueError: naming the shards, what they lack, and the remedy.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "require"):
            data.require(self.inputs, stage)

    # -- optimisation -------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Load released weights, and the pretrained ones that parts name which neither these nor a checkpoint hold; once.

        A strategy that shares weights out does it here.

        Frozen weights take the number format of mixed precision. Those that each process reads from the same file are not sent
        from one process to the others.

        Raises:
            ValueError: if this system cannot be trained with its weights shared out.
        """
        if self._pretrained_loaded:
            return
        strategy = None if self._trainer is None else self._trainer.strategy
        sharded = strategy if isinstance(strategy, ShardedStrategy) and strategy.is_training else None
        if sharded and not self.shared_out:
            raise ValueError(
                f"{type(self).__name__} has nothing that {type(sharded).__name__} shares out; use strategy: ddp."
            )
        with nullcontext() if sharded is None else sharded.in_turn():
            state = self._read_released() if self.released else {}
            load_pretrained(self.network, self.parts, held=state.keys() | set(self.held))
            if state:
                self.load_state_dict(state)
                self.held = {*self.held, *state}
            if self._trainer is not None:
                self.store_frozen_as_computed(str(self._trainer.precision))
            if sharded is not None:
                for name in self.shared_out:
                    sharded.shard(getattr(self, name))
        path = "" if self.network is self else "model."
        unsent = [path + name for name in sorted(self.left_out())]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, unsent)
        self._pretrained_loaded = True

    def _read_released(self) -> dict[str, Tensor]:
        """Return the state that the released files hold, checked before anything else is read."""
        frontend = self.inputs.frontend
        own = self.network.state_dict()
        state = read_released(self.released, own, target_length=None if frontend is None else frontend.shape[0])
        with named(", ".join(map(str, self.released))):
            check_state(self.network, state, absent_ok=reloadable(self.network, self.parts))
        return state

    def left_out(self) -> set[str]:
        """Return the names of the state that a checkpoint leaves out, since the parts read it again."""
        return reloadable(self.network, self.parts) - set(self.held)

    def store_frozen_as_computed(self, precision: str) -> None:
        """Give frozen weights the number format in which mixed precision computes; see :func:`store_as_computed`.

        An encoder that learns nothing keeps its float32 weights: its tokens may be stored, under a name made of them.
        """
        if precision in MIXED:
            learning = [name for name in self.parts if name == "decoder" or _learns(getattr(self, name))]
            own = tuple(f"{name}." for name in learning)
            names = {name for name in self.left_out() if name.startswith(own)}
            store_as_computed(self.network, names, MIXED[precision])

    def configure_optimizers(self) -> Optimizer:
        """Build one optimiser: no weight decay for biases and norms, own learning rate factors for parts and layers."""
        optimizer = self.optimizer(parameter_groups(self.network, self.parts, self.lr_scales, self.layer_decay))
        for group in optimizer.param_groups:
            group["lr"] = group["max_lr"] = group["lr"] * group.pop("lr_scale")
            if len({isinstance(parameter, DTensor) for parameter in group["params"]}) > 1:
                group["foreach"] = False  # torch's fused loops take one kind
        return optimizer

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip gradients as Lightning does, also of parameters that are shared out."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        by_value = gradient_clip_algorithm == GradClipAlgorithmType.VALUE
        if not gradient_clip_val or by_value or not any(isinstance(parameter, DTensor) for parameter in parameters):
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        else:
            clip_norm(parameters, gradient_clip_val)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate from the progress of the run: nothing to restore, exact after a restart."""
        factor = self.schedule(self._progress(batch_idx))
        (optimizer,) = self.trainer.optimizers
        for group in optimizer.param_groups:
            group["lr"] = group["max_lr"] * factor
        self.log("lr", max(group["lr"] for group in optimizer.param_groups))

    def _progress(self, batch_idx: int) -> float:
        """Return the share of the run that is done, from the epochs or steps of the config."""
        if self.trainer.max_steps > 0:
            return self.global_step / self.trainer.max_steps
        epochs = self.trainer.max_epochs or 1
        return (self.current_epoch + batch_idx / max(1, self.trainer.num_training_batches)) / epochs

    # -- checkpoints --------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what can be read again (the frozen weights of pretrained parts); carry the small files they name."""
        leave_out(self.network, self.parts, checkpoint, kept=self.held)
        carry_files(checkpoint)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a checkpoint's state; only the frozen weights of pretrained parts may be absent.

        Raises:
            ValueError: if the state belongs to another architecture.
        """
        check_state(self.network, state_dict, absent_ok=self.left_out())
        if self.network is not self:
            return self.network.load_state_dict(state_dict, strict=False, assign=assign)
        return super().load_state_dict(state_dict, strict=False, assign=assign)


def zero_for_unused(encoders: Iterable[Encoder | None], batch: Batch) -> Tensor | float:
    """Return zero with a gradient path to the encoders for which the batch has no input.

    Under DDP every process must have a gradient of every parameter, also the one whose batch happens to lack a stream.
    """
    without = [encoder for encoder in encoders if encoder is not None and encoder.input not in batch]
    return zero(p for encoder in without for p in encoder.parameters())


def zero(parameters: Iterable[Tensor]) -> Tensor | float:
    """Return zero with a gradient (of zeros) for every trainable parameter."""
    return sum(0.0 * parameter.flatten()[0] for parameter in parameters if parameter.requires_grad)


def _learns(part: nn.Module | None) -> bool:
    return part is not None and any(parameter.requires_grad for parameter in part.parameters())
