"""Checkpoints, weights files and Hugging Face sources: reading, saving and checking them."""
