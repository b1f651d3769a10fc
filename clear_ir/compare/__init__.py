"""Which differences are real: bootstrap, permutation test, Holm's correction."""
