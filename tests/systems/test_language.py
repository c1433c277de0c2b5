"""A language model trained on texts: its input, its loss, what it learns, and the folder that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from avcap.cli import main
from avcap.data.text_module import TextBatch, collate_texts
from avcap.decoders import LlavaDecoder
from avcap.decoders.llava import SOUND_PROMPT
from avcap.scenes.texts import texts
from avcap.systems import LanguageModelling
from tests.end_to_end.program import REPOSITORY

TEXT = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
LLAVA = {"model_type": "llava", "vision_config": VISION, "text_config": TEXT}
BATCH = collate_texts(
    [
        {"prompt_text": "a red truck on a street", "task": "hear", "text": "a truck idles"},
        {"prompt_text": "a dog", "task": "see", "text": "a dog"},
    ]
)


@pytest.fixture
def system(demo_root: Path) -> LanguageModelling:
    """A tiny model with the demo's tokenizer."""
    torch.manual_seed(0)
    decoder = LlavaDecoder(48, config=LLAVA, tokenizer=str(demo_root / "tokenizer"), frozen=False)
    return LanguageModelling(decoder)


def contexts(system: LanguageModelling, batch: TextBatch) -> list[torch.Tensor]:
    """The embeddings ``[S, C]`` of each conversation up to the answer, without padding."""
    embeds, mask = system.decoder.context(system.seen(batch), system.asked(batch))
    assert mask is None or mask[:, -1].all()
    return [
        row if mask is None else row[real] for row, real in zip(embeds, embeds if mask is None else mask, strict=True)
    ]


def test_words_stand_where_the_image_tokens_will_stand(system: LanguageModelling) -> None:
    tokenizer, words = system.decoder.codec.tokenizer, system.decoder.lm.get_input_embeddings()
    found = contexts(system, BATCH)
    for row, (seen, prompt) in enumerate([("a red truck on a street", SOUND_PROMPT), ("a dog", "Describe the image.")]):
        whole = tokenizer(f"USER: <image>\n{prompt} ASSISTANT:")["input_ids"]
        at = whole.index(tokenizer.convert_tokens_to_ids("<image>"))
        ids = whole[:at] + tokenizer(seen)["input_ids"] + whole[at + 1 :]
        assert torch.equal(found[row], words(torch.tensor(ids)))


def test_the_loss_is_that_of_the_answers_alone_whatever_the_padding(system: LanguageModelling) -> None:
    codec, lm = system.decoder.codec, system.decoder.lm
    losses, count = 0.0, 0
    for row in range(2):
        single: TextBatch = {name: [values[row]] for name, values in BATCH.items()}
        (before,) = contexts(system, single)
        answer = codec.encode_captions(single["text"], limit=64).ids[0]
        assert answer[-1] == codec.special.eos[0]
        whole = torch.cat([before, lm.get_input_embeddings()(answer)])
        logits = lm(inputs_embeds=whole[None]).logits[0, len(before) - 1 : -1]
        losses += F.cross_entropy(logits, answer, reduction="sum")
        count += len(answer)
    torch.testing.assert_close(system.loss(BATCH), losses / count, atol=1e-5, rtol=1e-5)


def test_a_task_without_a_prompt_is_named(system: LanguageModelling) -> None:
    with pytest.raises(ValueError, match=r"no prompt for the task smell; add it to model\.prompts"):
        system.loss({**BATCH, "task": ["see", "smell"]})


def test_it_learns_to_answer_and_the_instruction_decides(system: LanguageModelling) -> None:
    seen = ["a dog", "a duck", "a black device"]
    heard = ["a dog barks", "a duck quacks", "a telephone rings"]
    batch: TextBatch = {"prompt_text": seen * 2, "task": ["see"] * 3 + ["hear"] * 3, "text": seen + heard}
    optimizer = torch.optim.AdamW(system.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        system.loss(batch).backward()
        optimizer.step()
    assert system(batch, max_new_tokens=12) == seen + heard


def test_a_run_leaves_a_model_and_a_tokenizer(demo_root: Path, tmp_path: Path) -> None:
    path, config = tmp_path / "texts.jsonl", tmp_path / "llava.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in texts(80)))
    config.write_text(json.dumps(LLAVA))
    decoder = "--model.init_args.decoder.init_args"
    main(
        [
            *("fit", "--config", str(REPOSITORY / "configs" / "dali" / "0a_language.yaml")),
            *(f"{decoder}.config", str(config), f"{decoder}.tokenizer", str(demo_root / "tokenizer")),
            *(f"{decoder}.input_width", "48", "--data.init_args.path", str(path), "--data.init_args.val", "16"),
            *("--trainer.max_steps", "3", "--trainer.val_check_interval", "1", "--trainer.precision", "32-true"),
            *("--trainer.default_root_dir", str(tmp_path / "run"), "--trainer.accelerator", "cpu"),
            *("--trainer.enable_progress_bar", "false"),
        ]
    )
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "lm")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "lm")
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[f"decoder.lm.{name}"]), name
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert len(tokenizer) <= model.config.vocab_size
    assert "<image>" in tokenizer.get_vocab()
    decoder = LlavaDecoder(48, language_model=str(tmp_path / "run" / "lm"), config=LLAVA)  # as the captioner begins
    decoder.load_pretrained()
    assert decoder.codec.special.eos == (tokenizer.eos_token_id,)
    assert torch.equal(decoder.lm.get_input_embeddings().weight, model.get_input_embeddings().weight)
