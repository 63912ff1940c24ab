"""From a few values over an image to one for each pixel."""

import numpy as np


def in_pixels(values, size, seen=((0.0, 1.0), (0.0, 1.0))):
    """Return a value for each pixel, between those of the positions around it.

    Parameters
    ----------
    values : ndarray of shape (n_upright, n_across)
        Value at the middle of each cell of a grid.
    size : (int, int)
        Height and width of the image.
    seen : pair of (float, float)
        Place where the grid starts and ends, upright and across, as shares of the
        image's sides.

    Returns
    -------
    ndarray of shape (height, width), float32
        0 outside the grid.
    """
    upright, across = (
        _weights(n_cells, n_pixels, *span)
        for n_cells, n_pixels, span in zip(values.shape, size, seen, strict=True)
    )
    return (upright @ values @ across.T).astype(np.float32)


def _weights(n_cells, n_pixels, start, stop):
    """Return the weights of cells for each pixel along a side."""
    pixels = (np.arange(n_pixels) + 0.5) / n_pixels
    places = (pixels - start) / (stop - start) * n_cells - 0.5
    cells = np.arange(n_cells)
    # Pixels outside the middles of the outermost cells have their value.
    near = np.clip(places, 0, n_cells - 1)[:, None] - cells
    weights = np.clip(1 - np.abs(near), 0, None)
    is_inside = (pixels >= start) & (pixels <= stop)
    return weights * is_inside[:, None]
