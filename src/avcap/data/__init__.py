"""Data: media files -> shards -> batches. Knows no model."""
