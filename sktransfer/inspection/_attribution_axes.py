"""Drawing what images and texts were judged by."""

import numpy as np

COLUMNS = 4
PANEL_INCHES, TITLE_INCHES = 2.6, 0.65
DARKEST = 0.35  # light of what has no influence
TEXT_INCHES = 8.0
STYLE = {"fontsize": 11}
# Of the size of the font: lines, gaps between words, and the boxes around them.
LINE, GAP, BOX = 1.9, 0.8, 0.22
EDGE_POINTS = 9
FAINT = 0.1  # share of the greatest influence below which a word has no edge
IMAGE_KEY = "bright: speaks for it\nline: half of the greatest value"
TEXT_KEY = "orange: speaks for it; blue, dashed: speaks against it"
# In grey, what speaks for a class is dark and what speaks against it has a dashed edge.
FOR, AGAINST = (0.95, 0.55, 0.15), (0.35, 0.60, 0.90)


def image_axes(n_images):
    """Return axes for each image, in a new figure."""
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    n_columns = min(COLUMNS, n_images)
    n_lines = -(-n_images // n_columns)
    figure, axes = plt.subplots(
        n_lines,
        n_columns,
        figsize=(PANEL_INCHES * n_columns, (PANEL_INCHES + TITLE_INCHES) * n_lines),
        # Compressed, since the ratio of the axes is fixed.
        layout=ConstrainedLayoutEngine(h_pad=0.1, compress=True),
        squeeze=False,
    )
    figure.supxlabel(IMAGE_KEY, fontsize="small")
    for ax in axes.flat[n_images:]:
        ax.set_axis_off()
    return list(axes.flat[:n_images])


def draw_image(ax, image, values, title, **options):
    """Draw an image, the darker the less a place speaks for its target.

    Parameters
    ----------
    ax : matplotlib Axes
    image : uint8 ndarray of shape (height, width, 3)
    values : ndarray of shape (height, width)
    title : str
    **options
        Options of the image, as matplotlib's ``imshow`` takes them.
    """
    share = np.clip(values, 0, None)
    share = share / (share.max() or 1)
    light = DARKEST + (1 - DARKEST) * share[..., None]
    ax.imshow((image * light).round().astype(np.uint8), **options)
    if share.any() and min(share.shape) > 1:
        # Two lines, so that one is seen on whatever ground.
        for colour, width in (("black", 2.0), ("white", 0.9)):
            ax.contour(share, [0.5], colors=colour, linewidths=width)
    ax.set_title(title, fontsize="medium")
    ax.set_xticks([])
    ax.set_yticks([])


def text_axes(words, **options):
    """Return axes for each text, in a new figure that is as high as they need."""
    import matplotlib.pyplot as plt

    # A figure's width decides where lines end, and so its height.
    figure = plt.figure(figsize=(TEXT_INCHES, 1))
    laid = [
        _places(figure, some, TEXT_INCHES * 72 - 2 * EDGE_POINTS, options)
        for some in words
    ]
    heights = [(places[-1][1] + 1) * line for places, line in laid]
    room = TITLE_INCHES * 72 / 2  # for a title above each, and for the key
    total = sum(heights) + room * (len(words) + 0.8)
    figure.set_size_inches(TEXT_INCHES, total / 72)
    axes, top = [], total
    left = EDGE_POINTS / 72 / TEXT_INCHES
    for height in heights:
        top -= room + height
        place = left, top / total, 1 - 2 * left, height / total
        axes.append(figure.add_axes(place))
    figure.text(left, 0.25 * room / total, TEXT_KEY, fontsize="small")
    return axes


def draw_words(ax, words, values, title, **options):
    """Write a text, and colour its words.

    Parameters
    ----------
    ax : matplotlib Axes
    words : list of str
    values : ndarray of shape (n_words,)
    title : str
    **options
        Options of the words, as matplotlib's ``text`` takes them.
    """
    greatest = float(np.abs(values).max()) or 1.0
    width = ax.get_window_extent().width * 72 / ax.figure.dpi
    places, line = _places(ax.figure, words, width, options)
    for word, value, (across, n_above) in zip(words, values, places, strict=True):
        share = abs(value) / greatest
        colour = FOR if value > 0 else AGAINST
        box = {
            "boxstyle": f"round,pad={BOX}",
            "facecolor": (*colour, 0.9 * share),
            "edgecolor": "none" if share < FAINT else colour,
            "linestyle": "-" if value > 0 else "--",
        }
        style = STYLE | {"va": "center", "bbox": box} | options
        ax.annotate(
            _plain(word),
            (0, 1),
            xycoords="axes fraction",
            xytext=(across, -(n_above + 0.5) * line),
            textcoords="offset points",
            annotation_clip=False,
            **style,
        )
    ax.set_title(title, fontsize="medium", loc="left")
    ax.set_axis_off()


def _plain(word):
    """Return a word that matplotlib does not read as a formula."""
    return word.replace("$", r"\$")


def _places(figure, words, width, options):
    """Return where words stand, and how high a line is, in points.

    Returns
    -------
    places : list of (float, int)
        Distance of each word from the left, and its line.
    line : float
    """
    measure = figure.text(0, 0, "", **STYLE | options)
    size = measure.get_fontsize()
    places, across, n_above = [], 0.0, 0
    for word in words:
        measure.set_text(_plain(word))
        length = measure.get_window_extent().width * 72 / figure.dpi
        if across and across + length > width:
            across, n_above = 0.0, n_above + 1
        places.append((across, n_above))
        across += length + GAP * size
    measure.remove()
    return places, LINE * size
