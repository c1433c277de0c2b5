"""Two processes: FSDP2 with LoRA equals one process, and a frozen language model is in memory once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tests.end_to_end.program import ENVIRONMENT, REPOSITORY
from tests.llava_parts import save_tokenizer
from tests.systems.sharded_run import LARGE, LM, Notes, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two language models in bfloat16, each with its tokenizer."""
    out = tmp_path_factory.mktemp("sharded")
    tokenizer = save_tokenizer(out / LM)
    torch.manual_seed(0)
    for name, width, hidden, layers in ((LM, 16, 32, 2), (LARGE, 512, 2048, 6)):
        sizes = {
            "hidden_size": width,
            "intermediate_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
        }
        lm = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=len(tokenizer), **sizes))
        lm.lm_head.weight.data *= 10  # so that there is something to learn
        lm.to(torch.bfloat16).save_pretrained(out / name)
        tokenizer.save_pretrained(out / name)
    return out


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes saw."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
        + ["tests.systems.sharded_run", str(folder)],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one(folder: Path) -> Notes:
    """What one process saw, with both halves of each batch; it leaves ``1.ckpt``."""
    return train(folder, steps=6)


def mean(two: list[dict[str, Any]], what: str) -> list[float]:
    return [sum(pair) / 2 for pair in zip(*(seen[what] for seen in two), strict=True)]


def test_the_losses_are_those_of_one_process(two, one):
    assert mean(two, "losses") == pytest.approx(one.losses[:4], rel=5e-3)
    assert one.losses[2] < 0.95 * one.losses[0]  # so that a wrong step would show


def test_each_process_holds_half_of_the_decoder(two, one):
    assert sum(seen["held"] for seen in two) == one.held


def test_a_checkpoint_goes_on_in_two_processes_and_in_one(two, one, folder):
    assert mean(two, "again") == pytest.approx(one.losses[4:], rel=5e-3)
    alone = train(folder, steps=6, start=folder / "four.ckpt", name="alone")
    assert alone.losses == pytest.approx(one.losses[4:], rel=5e-3)


def test_a_checkpoint_has_the_names_and_sizes_of_one_process(two, one, folder):
    ours, theirs = (torch.load(folder / name, weights_only=True) for name in ("four.ckpt", "1.ckpt"))
    assert {n: (v.shape, v.dtype) for n, v in ours["state_dict"].items()} == {
        n: (v.shape, v.dtype) for n, v in theirs["state_dict"].items()
    }
    assert ours["avcap_left_out"] == theirs["avcap_left_out"] != []
    assert ours["optimizer_states"][0]["state"].keys() == theirs["optimizer_states"][0]["state"].keys()


def test_gradients_are_clipped_together(two, one, folder):
    clipped = train(folder, steps=3, gradient_clip_val=0.05, name="clipped")
    assert mean(two, "clipped") == pytest.approx(clipped.losses, rel=5e-3)
    assert clipped.losses[2] > 1.03 * one.losses[2]  # so that no clipping would show


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_frozen_language_model_is_in_memory_once_for_both(two, folder):
    """Both map the same file, and DDP sends none of it."""
    size = (folder / LARGE / "model.safetensors").stat().st_size
    assert size > 50e6
    assert max(seen["grown"] for seen in two) < size / 2
