"""The transport plan between the tokens of a clip, without a loss."""

from __future__ import annotations

from torch import Tensor

from avcap.layers.masking import zero_padding
from avcap.losses.aligner import Aligner, AlignerOutput
from avcap.transport import GradientPolicy, cosine_similarity, full_precision, sinkhorn
from avcap.types import Tokens, TransportPlan


class TokenPlan(Aligner):
    """The entropic plan that maximises the cosine similarity of a clip's audio and visual tokens, and no loss.

    Args:
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        grad: "detach": no gradient through the plan; "autodiff": through all iterations.
    """

    name = "token_plan"
    solves_plan = True

    def __init__(self, *, epsilon: float = 0.1, iterations: int = 50, grad: GradientPolicy = "detach") -> None:
        super().__init__()
        self.epsilon = epsilon
        self.iterations = iterations
        self.grad: GradientPolicy = grad

    def forward(self, audio: Tokens, video: Tokens) -> AlignerOutput:
        """Return the plan ``[B, Nv, Na]`` between tokens ``[B, Na, C]`` and ``[B, Nv, C]``."""
        _, plan = self.solve(audio, video)
        return AlignerOutput({}, plan)

    def solve(self, audio: Tokens, video: Tokens) -> tuple[Tensor, TransportPlan]:
        """Compute cosine similarities ``[B, Nv, Na]`` and their plan, in float32 also under autocast."""
        audio, video = zero_padding(audio), zero_padding(video)
        with full_precision(audio.x.device):
            similarity = cosine_similarity(video.x, audio.x)  # [B, Nv, Na]
            plan = sinkhorn(
                1 - similarity,
                epsilon=self.epsilon,
                iterations=self.iterations,
                mask_a=video.mask,
                mask_b=audio.mask,
                grad=self.grad,
            )
        return similarity, plan
