"""Many runs: the ablation matrix and the report."""
