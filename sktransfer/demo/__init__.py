"""Measure the gain by a pretrained network: ``python -m sktransfer demo``.

Both demos take the same steps. Each image or text runs through the network once; a
cache folder keeps the features. A grid search over the depth of the network, the PCA
and the classifier, scores on other folds, and a learning curve then need no further
pass.
"""

from ._run import default_cache_dir, read_texts, run_images, run_texts

__all__ = [
    "default_cache_dir",
    "read_texts",
    "run_images",
    "run_texts",
]
