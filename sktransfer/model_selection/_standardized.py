"""Features as a linear model with one penalty for all of them takes them."""

import numpy as np


class Standardized:
    """Features, centred and divided by one number, which some of the rows give.

    With fewer rows than features, the features are rotated into as many columns as
    there are rows. A model with a squared penalty gives the same predictions, and is
    fitted in less time.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    """

    def __init__(self, features):
        self.n_features = features.shape[1]
        self.sums, self.squares = features.sum(axis=1), (features**2).sum(axis=1)
        self.table = features
        if self.n_features > len(features):
            left, values, _ = np.linalg.svd(features, full_matrices=False)
            self.table = left * values

    def parts(self, train, test):
        """Return training and test rows, as the training rows say."""
        mean = self.sums[train].mean() / self.n_features
        square = self.squares[train].mean() / self.n_features
        variance = square - mean**2
        is_constant = variance <= square * np.finfo(float).eps
        scale = 1.0 if is_constant else np.sqrt(variance)
        center = self.table[train].mean(axis=0)
        return [(self.table[rows] - center) / scale for rows in (train, test)]
