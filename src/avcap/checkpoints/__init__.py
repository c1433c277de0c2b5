"""Checkpoints, weights files and Hugging Face sources: what is read, what is kept, what is refused."""
