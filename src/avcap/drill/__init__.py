"""Drills: commands that are killed at random moments, taken up again, and compared with an undisturbed run."""
