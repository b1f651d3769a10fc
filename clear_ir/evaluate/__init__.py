"""One model on one collection: every direction; the evaluator for trainers; the bridge to mteb."""
