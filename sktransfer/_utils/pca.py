"""Principal components, seeded and as many as the rows allow."""

import warnings

from sklearn.decomposition import PCA


def fit_pca(n_components, vectors, random_state):
    """Return a fitted PCA, and what it makes of the vectors."""
    pca = PCA(n_components, random_state=random_state)
    with warnings.catch_warnings():
        # Rows that are all alike have no variance to explain.
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)
        return pca, pca.fit_transform(vectors)
