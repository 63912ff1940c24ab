"""Grid over C and PCA on texts: each distinct text goes through the network once."""

from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from sktransfer import TextEncoder, cache_info

from .. import _grids as grids
from .._data_ops import cached_search
from .._grids import table as table
from .._harness import SEED, banking77
from .._rivals import HandWrittenTextEncoder, sentence_transformer, skrub_encoder

N_ROWS = 2500
N_FOLDS = 5
GRID = {
    "pca__n_components": [32, 64, 128, 256],
    "model__C": [1.0, 3.0, 10.0, 30.0, 100.0],
}
# What the rivals run; the rest of the grid would only repeat the encoder's work.
ONE = {"pca__n_components": [128], "model__C": [10.0]}


def run(full=False):
    texts, labels = banking77("train", N_ROWS)
    warm = {
        "sktransfer": grids.warm_up(load_ours),
        "hand-written": grids.warm_up(sentence_transformer),
    }
    ours, walls = grids.repeated(lambda: searched(our_encoder(), GRID, texts, labels))

    features = our_encoder().fit_transform(texts)
    head = searched(FunctionTransformer(), GRID, features, labels)
    head_part = searched(FunctionTransformer(), ONE, features, labels)

    rivals = {}
    kinds = {"hand-written": HandWrittenTextEncoder(), "skrub": skrub_encoder()}
    for name, encoder in kinds.items():
        if full:
            rivals[name] = searched(encoder, GRID, texts, labels)
        else:
            part = searched(encoder, ONE, texts, labels)
            factor = grids.n_candidates(GRID)
            rivals[name] = grids.multiplied(part, head_part, head, factor)
    # Its own way to spare the encoder, and so run whole.
    [rivals["skrub, its cache on"]] = searched_by_skrub(texts, labels)
    return grids.outcome(
        rows=len(texts),
        distinct=int(texts.nunique()),
        ours=ours,
        walls=walls,
        rivals=rivals,
        head=head,
        second=grids.with_folder(__name__),
        warm=warm,
    )


def our_encoder():
    # Normalised, as SentenceTransformer.encode does it, so that the heads of ours and
    # of the hand-written one see the same features and have the same work.
    return TextEncoder(normalize=True)


def load_ours():
    TextEncoder(cache=None).fit_transform(["a text that is not in the data"])


def searched(encoder, grid, X, y):
    return grids.search(steps(encoder), grid, X, y, cv=N_FOLDS)


def searched_by_skrub(X, y):
    """Search the whole grid in skrub's DataOps, from an empty cache."""
    return cached_search(steps(skrub_encoder()), GRID, X, y, N_FOLDS)


def steps(encoder):
    return [
        ("encoder", encoder),
        ("pca", PCA(random_state=SEED)),
        ("model", LogisticRegression(max_iter=1000)),
    ]


def second_process():
    """Search one candidate with the cache folder of the environment variable."""
    texts, labels = banking77("train", N_ROWS)
    load_ours()
    row = searched(our_encoder(), ONE, texts, labels)
    return row | {"misses": cache_info().misses}
