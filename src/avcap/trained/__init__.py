"""Trained models, opened again: on loose files, or on the clips of their run."""
