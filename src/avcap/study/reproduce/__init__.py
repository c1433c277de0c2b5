"""The papers' tables: from the authors' files and AudioCaps to our row beside theirs.

Every step is a command that runs in a process of its own.
"""
