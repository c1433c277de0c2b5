"""Shards: recordings and frames, packed, proved, derived from and read back, independent of any model."""
