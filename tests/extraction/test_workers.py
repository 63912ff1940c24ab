"""Worker processes, however they start: they compute the same, and share a folder."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from sktransfer import FeatureCache, ImageEncoder, TextClassifier, TextEncoder

TEXTS = [f"text {i} " + "some words " * (i % 7) for i in range(40)]
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 36, 40, 3), dtype=np.uint8)


def encode(encoder, rows):
    """Encode through a folder; say how many rows ran."""
    return encoder.transform(rows), encoder.cache.info().misses


def train():
    model = TextClassifier(
        "tiny-bert", freeze_depth=-1, max_epochs=2, random_state=0, cache=None
    )
    return model.fit(TEXTS, np.arange(40) % 2).predict_proba(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods()))
)
def test_a_worker_computes_as_this_process_does(method, tmp_path):
    # In a process of its own: torch refuses to train in a fork of one whose autograd
    # has started threads, as other tests may have let it do here.
    command = [sys.executable, "-W", "ignore", __file__, method, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


def compare(method, folder):
    texts = TextEncoder("tiny-bert", cache=FeatureCache(folder)).fit(TEXTS)
    images = ImageEncoder("tiny-cnn", cache=texts.cache).fit(IMAGES)
    want = texts.transform(TEXTS), images.transform(IMAGES), train()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context) as pool:
        tasks = [
            pool.submit(encode, texts, TEXTS[::-1]),
            pool.submit(encode, images, IMAGES),
            pool.submit(train),
        ]
        found_texts, found_images, trained = (task.result(120) for task in tasks)
    np.testing.assert_array_equal(found_texts[0], want[0][::-1])
    np.testing.assert_array_equal(found_images[0], want[1])
    np.testing.assert_allclose(trained, want[2], atol=1e-6)
    assert found_texts[1] == found_images[1] == 0  # nothing ran there


if __name__ == "__main__":
    compare(*sys.argv[1:])
