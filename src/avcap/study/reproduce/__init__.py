"""The papers' tables: from the authors' files and AudioCaps to our row beside theirs.

Nothing here imports torch: every step is a command that runs in a process of its own.
"""
