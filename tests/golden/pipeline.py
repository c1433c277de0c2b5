"""AVCap and LAVCap from the recording to the end, written out in float64 as the official code computes it.

It shares no code with ``avcap``. ``test_pipeline.py`` shows that each step gives the official outputs, then compares
``avcap`` with what these functions gave for a recording and pictures made by formula, kept in ``pipeline.npz``:

    python -m tests.golden.pipeline       # writes pipeline.npz
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tests.decoders.avcap_reference import joint_tokens
from tests.golden import golden

FILE = Path(__file__).with_name("pipeline.npz")
RATE = 16_000
FRAMES = 20
SIDE = 224
TONES = {"clip_a": 440.0, "clip_b": 1234.5, "clip_c": 2800.0}  # clip -> hertz
SECONDS = {"clip_a": 10.0, "clip_b": 7.3, "clip_c": 11.0}  # as long as the target, padded, cut
WIDE, HIGH = 320, 256  # pixels of a picture
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def recording(clip: str) -> np.ndarray:
    """int16 ``[samples]``: a swelling tone, its overtone and noise."""
    tones = [[0.3, TONES[clip], 0.0], [0.1, 2.6 * TONES[clip], 1.0]]
    wave = golden.waveform(clip, int(SECONDS[clip] * RATE), RATE, tones, 0.02)
    return np.round(wave.astype(np.float64) * 32767).astype(np.int16)


def picture(clip: str, index: int) -> np.ndarray:
    """uint8 ``[256, 320, 3]``, frame ``index``: colours that change slowly over the picture, and from frame to frame."""
    y, x = np.meshgrid(np.linspace(0, 1, HIGH), np.linspace(0, 1, WIDE), indexing="ij")
    waves = golden.tensor(f"{clip}/waves", (3, 3), "input").astype(np.float64)
    value = [np.sin(6 * (a * x + b * y) + 3 * c + 0.3 * index) for a, b, c in waves]
    return np.round(127.5 + 100 * np.stack(value, axis=-1)).astype(np.uint8)


def features(clip: str) -> Tensor:
    """Visual features ``[1, 20, 48]`` of a clip, as a file holds them (float32)."""
    return torch.from_numpy(golden.tensor(f"{clip}/features", (1, FRAMES, 48), "input"))


def fbank(samples: np.ndarray, mels: int) -> Tensor:
    """Recording ``[samples]`` in -1..1 -> normalised log mel spectrogram ``[1, 1024, mels]`` (golden fact 28)."""
    wave = samples - samples.mean()
    rows = np.lib.stride_tricks.sliding_window_view(wave, 400)[::160]
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows = rows - 0.97 * np.concatenate([rows[:, :1], rows[:, :-1]], axis=1)
    rows = rows * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399))
    power = np.abs(np.fft.rfft(rows, 512)[:, :256]) ** 2

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log(1 + np.asarray(hertz) / 700)

    edges = np.linspace(mel(20.0), mel(8000.0), mels + 2)
    place = mel(np.arange(256) * RATE / 512)[:, None]
    up, down = ((place - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - place) / np.diff(edges)[1:])
    logs = np.log(np.maximum(power @ np.maximum(np.minimum(up, down), 0), np.finfo(np.float32).eps))
    padded = np.concatenate([logs, np.zeros((max(0, 1024 - len(logs)), mels))])[:1024]
    return torch.from_numpy((padded + 4.346) / 4.332)[None]


def image(pixels: np.ndarray) -> Tensor:
    """Short side to 224 (bicubic), centre cropped, normalised: ``[1, 3, 224, 224]`` (golden fact 19)."""
    small = Image.fromarray(pixels).resize((WIDE * SIDE // HIGH, SIDE), Image.BICUBIC)
    left = round((small.width - SIDE) / 2)
    cut = np.asarray(small.crop((left, 0, left + SIDE, SIDE))).astype(np.float64) / 255
    mean, deviation = IMAGENET
    return torch.from_numpy((cut - mean) / deviation).permute(2, 0, 1)[None]


def official_weights(case: str) -> tuple[dict, dict[str, Tensor]]:
    """Manifest of a case and its weights by official name, in float64."""
    manifest, _ = golden.load(case)
    state = {name: torch.from_numpy(value.astype(np.float64)) for name, value in golden.state_dict(manifest).items()}
    return manifest, state


class AVCapReference:
    """The captioner of the case ``avcap_captioner``."""

    def __init__(self) -> None:
        manifest, self.state = official_weights("avcap_captioner")
        self.config = manifest["config"]

    def projected(self, spectrogram: Tensor, frame: Tensor) -> Tensor:
        """Tokens of one clip as they stand before the words ``[1, 708, 48]`` (golden facts 1 to 4 and 8)."""
        x = joint_tokens(
            self.state,
            spectrogram.double(),
            frame.double(),
            heads=self.config["num_heads"],
            depth=self.config["modality_specific_depth"],
        )
        return self._norm(self._linear(x, "textual.av_projection.0"), "textual.av_projection.1", 1e-5)

    def caption(self, projected: Tensor) -> list[int]:
        """Beam search over one clip, the whole sequence anew for each step (golden facts 14 to 17)."""
        search = self.config["search"]
        end, most, beams = search["eos_index"], search["max_steps"], search["beam_size"]
        closed: tuple[float, list[int]] = (-math.inf, [])
        open_ = [(0.0, [search["sos_index"]])]
        for length in range(1, most):
            scored = [
                (total + value, ids, word)
                for total, ids in open_
                for word, value in enumerate(self._next(projected, ids).tolist())
            ]
            scored = sorted(scored, key=lambda candidate: -candidate[0])[: 2 * beams]
            if closed[0] >= scored[0][0] / self._length(most - 1):
                break
            open_ = []
            for total, ids, word in scored:
                if word == end or length == most - 1:
                    closed = max(closed, (total / self._length(length), ids), key=lambda hypothesis: hypothesis[0])
                else:
                    open_.append((total, [*ids, word]))
                if len(open_) == beams:
                    break
        return closed[1] + [end] * (most - len(closed[1]))

    def _length(self, words: int) -> float:
        return ((5 + words) / 6) ** self.config["search"]["length_penalty"]

    def _next(self, projected: Tensor, ids: list[int]) -> Tensor:
        """Log probabilities of the word after ``ids`` (golden facts 7 and 9)."""
        words = self.state["textual.embedding.words.weight"]
        text = words[ids] + self.state["textual.embedding.positions.weight"][: len(ids)]
        h = torch.cat([projected[0], self._norm(text, "textual.embedding.layer_norm", 1e-8)])
        place = torch.arange(len(h))
        visible = (place < len(projected[0])) | ((place <= place[:, None]) & (place[:, None] >= len(projected[0])))
        for i in range(self.config["decoder"]["num_layers"]):
            layer = f"textual.transformer.encoder.layer.{i}"
            q, k, v = (
                self._linear(h, f"{layer}.attention.self.{name}").unflatten(1, (self.config["num_heads"], -1))
                for name in ("query", "key", "value")
            )
            scores = torch.einsum("qhc,khc->hqk", q, k) / math.sqrt(q.shape[2])
            mixed = torch.einsum("hqk,khc->qhc", scores.masked_fill(~visible, -math.inf).softmax(dim=2), v).flatten(1)
            h = h + self._linear(mixed, f"{layer}.attention.output.dense")
            h = self._norm(h, f"{layer}.attention.output.LayerNorm", 1e-12)
            wide = F.gelu(self._linear(h, f"{layer}.intermediate.dense"))
            h = self._norm(h + self._linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm", 1e-12)
        return (words @ h[-1] + self.state["textual.output.bias"]).log_softmax(dim=0)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str, epsilon: float) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], epsilon)


def ced_tokens(spectrogram: Tensor) -> Tensor:
    """LAVCap's audio tokens ``[B, 64, 48]``, averaged over frequency, of the case ``ced_encoder_lavcap_1024`` (facts 23, 24)."""
    manifest, state = official_weights("ced_encoder_lavcap_1024")
    heads, epsilon = manifest["config"]["num_heads"], manifest["config"]["layernorm_eps"]

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], epsilon)

    scale = state["init_bn.1.weight"] / torch.sqrt(state["init_bn.1.running_var"] + 1e-5)
    x = (spectrogram.double() - state["init_bn.1.running_mean"]) * scale + state["init_bn.1.bias"]
    x = F.conv2d(
        x.transpose(1, 2)[:, None], state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=16
    )
    rows, columns = x.shape[2:]
    x = (x + state["time_pos_embed"] + state["freq_pos_embed"]).flatten(2).transpose(1, 2)  # [B, 4 * 64, C]
    for i in range(manifest["config"]["depth"]):
        block, y = f"blocks.{i}", norm(x, f"blocks.{i}.norm1")
        q, k, v = (linear(y, f"{block}.attn.{n}_proj").unflatten(2, (heads, -1)).transpose(1, 2) for n in "qkv")
        share = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(dim=3)
        x = x + linear((share @ v).transpose(1, 2).flatten(2), f"{block}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    return norm(x, "norm").unflatten(1, (rows, columns)).mean(dim=1)


def fuse(audio: Tensor, visual: Tensor) -> dict[str, Tensor]:
    """LAVCap's default fusion, ``ot_tempcat_QAV_add`` (golden facts 29 to 34).

    Args:
        audio: ``[B, Ta, C]``.
        visual: ``[B, Tv, C]``.

    Returns:
        ``log_Q`` ``[B, Tv, Ta]``, ``fused`` ``[B, Ta + Tv, C]`` and both losses.
    """
    a, v = (x.double() / x.double().norm(dim=2, keepdim=True) for x in (audio, visual))
    similarity = v @ a.transpose(1, 2)  # [B, Tv, Ta]
    z = similarity / 0.1
    rows, columns = z.shape[1:]
    over = torch.zeros_like(z[:, :1])
    for _ in range(50):
        under = -math.log(rows) - torch.logsumexp(z + over, dim=2, keepdim=True)
        over = -math.log(columns) - torch.logsumexp(z + under, dim=1, keepdim=True)
    log_q = z + under + over
    q, scale = log_q.exp(), math.log(1 / 0.07)
    losses = {}
    for name, plan, like in (
        ("loss_visual", log_q, similarity),
        ("loss_audio", log_q.transpose(1, 2), similarity.transpose(1, 2)),
    ):
        logits = scale * plan @ like.transpose(1, 2)  # [B, i, j]: the class is the row of the plan
        losses[name] = -logits.log_softmax(dim=1).diagonal(dim1=1, dim2=2).mean()
    return {"log_Q": log_q, "fused": torch.cat([a + q.transpose(1, 2) @ v, v + q @ a], dim=1), **losses}


def outputs() -> dict[str, np.ndarray]:
    """Everything that ``pipeline.npz`` holds: fused tokens in float32, every fourth of AVCap's."""
    avcap = AVCapReference()
    found: dict[str, np.ndarray] = {}
    for clip in TONES:
        samples = recording(clip) / 32768
        projected = avcap.projected(fbank(samples, 128), image(picture(clip, FRAMES // 2)))
        found[f"avcap/{clip}/projected"] = projected[0, ::12].float().numpy()
        found[f"avcap/{clip}/ids"] = np.array(avcap.caption(projected))
        for name, value in fuse(ced_tokens(fbank(samples, 64)), features(clip)).items():
            found[f"lavcap/{clip}/{name}"] = value.float().numpy()
    return found


if __name__ == "__main__":
    np.savez_compressed(FILE, **outputs())
