"""What reading from the folder cache costs."""

import statistics
import time
from pathlib import Path

import numpy as np

from ._shared import IMAGE_BACKBONE, encode_images, write_images


def reading(
    folder,
    *,
    n_rows=10_000,
    n_activations=2_000,
    n_computed=200,
    backbone=IMAGE_BACKBONE,
):
    """Reading rows against computing them, and activations against separate files."""
    folder = Path(folder)
    rows = _reading_rows(folder, n_rows, n_computed, backbone)
    return {**rows, **_reading_activations(folder, n_activations)}


def _reading_rows(folder, n_rows, n_computed, name):
    """Encode files whose features are in the folder; the memory cache is new."""
    from sktransfer import FeatureCache, ImageEncoder
    from sktransfer._cells.images import hash_image
    from sktransfer._extraction.runners import Request, VectorRunner
    from sktransfer._utils.devices import resolve_device
    from sktransfer.backbones import load_backbone

    paths = write_images(folder / "images", n_rows)
    backbone = load_backbone(name)
    start = time.perf_counter()
    encode_images(paths[:n_computed], name, cache=None)
    computing = (time.perf_counter() - start) / n_computed
    # The rows are put there without computing them: only reading is timed.
    cpu, cache = resolve_device("cpu"), FeatureCache(folder / "cache")
    depth = len(backbone.blocks)
    request = Request(
        backbone, backbone.preprocess, depth, backbone.pooling, "auto", cpu, "float32"
    )
    encoder = VectorRunner(request, cache)
    record = np.zeros(sum(backbone.widths), dtype=np.float32)
    for start in range(0, n_rows, 500):
        digests = [hash_image(Path(p).read_bytes()) for p in paths[start : start + 500]]
        keys = [encoder.namespace + digest for digest in digests]
        cache.put_many(dict.fromkeys(keys, record), encoder.part)
    seconds = []
    for _ in range(5):
        cache = FeatureCache(folder / "cache")
        start = time.perf_counter()
        ImageEncoder(name, cache=cache).fit_transform(paths)
        seconds.append((time.perf_counter() - start) / n_rows)
        assert cache.info()[:2] == (n_rows, 0)
    return {
        "rows": n_rows,
        "bytes a row": record.nbytes,
        "computing, ms a row": round(1e3 * computing, 3),
        "reading, ms a row": round(1e3 * statistics.median(seconds), 4),
        "computing / reading": round(computing / statistics.median(seconds), 1),
    }


def _reading_activations(folder, n_activations):
    from sktransfer.cache._folder import FolderStore

    rng = np.random.default_rng(0)
    keys = [i.to_bytes(40) for i in range(n_activations)]
    values = rng.normal(size=(n_activations, 16, 40, 40)).astype(np.float32)
    FolderStore(folder / "activations").put_many(dict(zip(keys, values, strict=True)))
    files = [folder / f"{i}.npy" for i in range(n_activations)]
    for path, value in zip(files, values, strict=True):
        np.save(path, value)
    order = rng.permutation(n_activations)

    def from_store():
        total, store = 0.0, FolderStore(folder / "activations")
        for _, value in store.get_many([keys[i] for i in order]):
            total += float(value[0, 0, 0])
        return total

    def from_files():
        return sum(float(np.load(files[i])[0, 0, 0]) for i in order)

    seconds = {from_store: [], from_files: []}
    for _ in range(5):
        for function, times in seconds.items():
            start = time.perf_counter()
            total = function()
            times.append(time.perf_counter() - start)
            assert np.isclose(total, values[:, 0, 0, 0].sum(), rtol=1e-3)
    store, separate = (statistics.median(times) for times in seconds.values())
    return {
        "activations": n_activations,
        "bytes an activation": values[0].nbytes,
        "numpy.load, s": round(separate, 3),
        "store, s": round(store, 3),
        "numpy.load / store": round(separate / store, 2),
    }
