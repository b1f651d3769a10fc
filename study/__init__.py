"""The study: which objective to train with. See study/README.md."""
