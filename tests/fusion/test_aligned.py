"""Any merge with any alignment: each merge keeps its own properties, each aligner its own losses."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from avcap.fusion import (
    AlignedFusion,
    AudioOnly,
    ChannelConcat,
    CrossAttention,
    OTAttention,
    TimeConcat,
    TokenConcat,
    TransportAdd,
)
from avcap.losses import AttentiveOTAlignment, ClipContrast, ObjectiveAligner, OTAlignment, PlanContrast, TokenPlan
from avcap.types import Tokens

B, NA, NV, CA, CV = 3, 6, 4, 16, 8
MERGES = {
    "TimeConcat": TimeConcat,
    "ChannelConcat": ChannelConcat,
    "CrossAttention": partial(CrossAttention, heads=2),
    "TransportAdd": TransportAdd,
    "TokenConcat": partial(TokenConcat, joint_depth=1, heads=2),
    "AudioOnly": AudioOnly,
}
ALIGNMENTS = {
    "none": lambda: None,
    "plan": TokenPlan,
    "contrast": PlanContrast,
    "clips": ClipContrast,
    "distribution": lambda: ObjectiveAligner(OTAlignment(), weight=0.5),
    "both": lambda: [PlanContrast(), ClipContrast()],
}
LOSSES = {
    "none": set(),
    "plan": set(),
    "contrast": {"ot_visual", "ot_audio"},
    "clips": {"clips"},
    "distribution": {"objective"},
}
LOSSES["both"] = LOSSES["contrast"] | LOSSES["clips"]


def pair(visual: int = CV) -> tuple[Tokens, Tokens]:
    generator = torch.Generator().manual_seed(1)
    audio, video = torch.randn(B, NA, CA, generator=generator), torch.randn(B, NV, visual, generator=generator)
    return Tokens(audio), Tokens(video)


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("merge", MERGES)
def test_every_merge_takes_every_alignment_and_stays_what_it_is(merge: str, align: str) -> None:
    torch.manual_seed(0)
    fusion = AlignedFusion(CA, CV, merge=MERGES[merge], align=ALIGNMENTS[align]()).eval()
    audio, video = pair()
    audio.x.requires_grad_()
    out = fusion(audio, video)
    assert set(out.losses) == LOSSES[align]
    assert ("plan" in out.maps) == (align in ("plan", "contrast", "both") or merge == "TransportAdd")
    alone = fusion.merge(audio, Tokens(fusion.visual_projection(video.x)))
    torch.testing.assert_close(out.tokens.x, alone.tokens.x)
    assert out.tokens.x.shape[2] == fusion.width
    (out.tokens.x.square().sum() + sum(out.losses.values())).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in (audio.x, *fusion.parameters()))


@pytest.mark.parametrize("absent", ["audio", "video"])
def test_joint_layers_treat_a_missing_stream_as_they_do_alone(absent: str) -> None:
    torch.manual_seed(0)
    fusion = AlignedFusion(CA, CA, merge=MERGES["TokenConcat"], align=ALIGNMENTS["both"]())
    for name, parameter in fusion.merge.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter)  # so that the norms of the streams differ
    audio, video = pair(CA)
    streams = (None, video) if absent == "audio" else (audio, None)
    out = fusion.eval()(*streams)
    torch.testing.assert_close(out.tokens.x, fusion.merge(*streams).tokens.x)
    out = fusion.train()(*streams)
    assert all(loss.item() == 0 for loss in out.losses.values())
    (out.tokens.x.sum() + sum(out.losses.values())).backward()
    assert all(parameter.grad is not None for parameter in fusion.parameters())  # a distributed backward wants them all


def test_a_merge_follows_the_aligners_plan_unless_it_has_its_own() -> None:
    audio, video = pair(CA)
    sharp, soft = TokenPlan(epsilon=0.01), TokenPlan(epsilon=1.0)
    led = AlignedFusion(CA, CA, merge=TransportAdd, align=sharp)(audio, video)
    own = AlignedFusion(CA, CA, merge=partial(TransportAdd, plan=soft), align=sharp)(audio, video)
    torch.testing.assert_close(led.tokens.x, TransportAdd(CA, CA, plan=sharp)(audio, video).tokens.x)
    torch.testing.assert_close(own.tokens.x, TransportAdd(CA, CA, plan=soft)(audio, video).tokens.x)
    torch.testing.assert_close(led.maps["plan"].plan, sharp(audio, video).plan.plan)
    torch.testing.assert_close(own.maps["plan"].plan, soft(audio, video).plan.plan)


def test_the_published_fusion_is_a_merge_of_unit_tokens_and_its_loss() -> None:
    audio, video = pair(CA)
    composed = AlignedFusion(CA, CA, merge=TransportAdd, align=PlanContrast(epsilon=0.05), normalise=True)
    published = OTAttention(CA, CA, epsilon=0.05)
    assert published.state_dict().keys() == composed.state_dict().keys() == {"contrast.logit_scale"}
    ours, theirs = composed(audio, video), published(audio, video)
    assert torch.equal(ours.tokens.x, theirs.tokens.x)
    assert all(torch.equal(ours.losses[name], theirs.losses[name]) for name in theirs.losses)


def test_two_aligners_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two aligners of one kind \(contrast, contrast\)"):
        AlignedFusion(CA, CA, merge=TimeConcat, align=[PlanContrast(), PlanContrast()])


def test_weights_of_the_merge_are_read_and_kept() -> None:
    fusion = AlignedFusion(CA, CA, merge=partial(TokenConcat, heads=2, pretrained="absent.safetensors"))
    assert fusion.pretrained == "absent.safetensors"
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
        fusion.load_pretrained()
    AlignedFusion(CA, CA, merge=TimeConcat).load_pretrained()
    with pytest.raises(ValueError, match="AudioOnly got a batch without audio"):
        AlignedFusion(CA, CA, merge=AudioOnly, align=PlanContrast())(None, pair(CA)[1])


def test_an_objective_is_weighted_and_one_with_scorers_is_refused() -> None:
    audio, video = pair(CA)
    found = ObjectiveAligner(OTAlignment(), weight=0.5)(audio, video).losses["objective"]
    torch.testing.assert_close(found, 0.5 * OTAlignment()(audio, video, epoch=1).loss)
    nothing = AlignedFusion(CA, CA, merge=TimeConcat, align=ObjectiveAligner(OTAlignment()))(audio, None)
    assert nothing.losses["objective"] == 0
    with pytest.raises(ValueError, match="AttentiveOTAlignment has scorers"):
        ObjectiveAligner(AttentiveOTAlignment(CA))
