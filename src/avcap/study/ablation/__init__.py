"""The ablation matrix: its table, its cells, and what runs them on a cluster.

Nothing here imports torch: cells are supervised by a light process, and run in processes of their own.
"""
