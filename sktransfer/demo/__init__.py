"""What a pretrained network adds to a table, measured: ``python -m sktransfer demo``.

Both demos do the same. Each photo or text goes through the network once, into a cache
folder. A grid search over the depth of the network, the PCA and the classifier, scores
on other folds, and a learning curve then cost no further pass.
"""

from ._run import default_cache_dir, read_texts, run_images, run_texts

__all__ = [
    "default_cache_dir",
    "read_texts",
    "run_images",
    "run_texts",
]
