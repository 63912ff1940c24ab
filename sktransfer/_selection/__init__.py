"""Choosing networks and judging models: candidates, scores, folds, curves."""
