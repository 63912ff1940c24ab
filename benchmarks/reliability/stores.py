"""Break the folder cache: races, kill -9, damage, full and read-only disks."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np

from ._shared import (
    IMAGE_BACKBONE,
    TIMEOUT_S,
    encode_images,
    encode_texts,
    one_thread,
    write_images,
)

# -- processes that start together -----------------------------------------------------


def together(folder, *, n_processes=8, n_images=400, backbone=IMAGE_BACKBONE):
    """Processes that start together on one empty folder do each row once."""
    folder = Path(folder)
    images = folder / "images"
    paths = write_images(images, n_images)
    want = encode_images(paths, backbone, cache=None)
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(n_processes), context.Queue()
    arguments = paths, backbone, folder / "cache", barrier, queue
    processes = [
        context.Process(target=_encode_at_the_gun, args=arguments)
        for _ in range(n_processes)
    ]
    with one_thread():
        for process in processes:
            process.start()
    start = time.perf_counter()
    results = [queue.get(timeout=TIMEOUT_S) for _ in processes]
    seconds = time.perf_counter() - start
    for process in processes:
        process.join(TIMEOUT_S)
        assert process.exitcode == 0, f"a process ended with {process.exitcode}"
    for _, vectors in results:
        np.testing.assert_allclose(vectors, want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(vectors, results[0][1])
    n_forwards = sum(count for count, _ in results)
    assert n_forwards <= 1.25 * n_images, n_forwards
    return {
        "processes": n_processes,
        "images": n_images,
        "forwards": n_forwards,
        "forwards of each process": sorted(count for count, _ in results),
        "seconds": round(seconds, 1),
    }


def _encode_at_the_gun(paths, backbone, folder, barrier, queue):
    from sktransfer import FeatureCache, ImageEncoder, load_backbone

    load_backbone(backbone)
    cache = FeatureCache(folder)
    encoder = ImageEncoder(backbone, cache=cache)
    barrier.wait(TIMEOUT_S)
    vectors = encoder.fit_transform(paths)
    queue.put((cache.info().misses, vectors))


# -- kill -9 ---------------------------------------------------------------------------


def kills(folder, *, n_rounds=50, n_writers=4, seed=0):
    """Writers that are killed leave a sound store with every finished row in it."""
    folder = Path(folder)
    rng = random.Random(seed)
    texts = [f"text number {i} of the campaign" for i in range(20_000)]
    want = encode_texts(texts, cache=None)
    context = multiprocessing.get_context("fork")
    n_finished = []
    for round_ in range(n_rounds):
        # A new store now and then, so that its making is interrupted too.
        store = folder / f"store{round_ // 5}"
        logs = [folder / f"round{round_}-{i}.log" for i in range(n_writers)]
        with one_thread():
            writers = [
                context.Process(
                    target=_write_until_killed,
                    args=(store, log, texts, rng.randrange(2**31)),
                )
                for log in logs
            ]
            for writer in writers:
                writer.start()
        time.sleep(rng.uniform(0.05, 1.0))
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
        for writer in writers:
            writer.join(TIMEOUT_S)
            assert writer.exitcode == -signal.SIGKILL, writer.exitcode
        finished = {
            int(number)
            for log in logs
            if log.exists()
            for line in log.read_text().splitlines(keepends=True)
            if line.endswith("\n")
            for number in line.split()
        }
        _check_after_kill(store, texts, want, sorted(finished))
        n_finished.append(len(finished))
    return {
        "rounds": n_rounds,
        "writers": n_writers,
        "finished rows found again": sum(n_finished),
        "rows finished in a round, median": statistics.median(n_finished),
        "wrong vectors": 0,
    }


def _write_until_killed(store, log, texts, seed):
    rng = random.Random(seed)
    with open(log, "a") as file:
        while True:
            numbers = rng.sample(range(len(texts)), 30)
            encode_texts([texts[i] for i in numbers], cache=store)
            file.write(" ".join(map(str, numbers)) + "\n")
            file.flush()


def _check_after_kill(store, texts, want, finished):
    from sktransfer import FeatureCache
    from sktransfer.cache._care import verify

    if (store / "features.sqlite").exists():
        health = verify(store)
        assert health.is_sound, health
    cache = FeatureCache(store)
    if finished:
        vectors = encode_texts([texts[i] for i in finished], cache=cache)
        np.testing.assert_allclose(vectors, want[finished], rtol=1e-5, atol=1e-6)
        assert cache.info().misses == 0, "a finished row is gone"
    # Claims of the dead keep nobody waiting.
    start = time.perf_counter()
    vectors = encode_texts(texts[:2000], cache=cache)
    np.testing.assert_allclose(vectors, want[:2000], rtol=1e-5, atol=1e-6)
    assert time.perf_counter() - start < 60, "it waited for the dead"


# -- damaged stores --------------------------------------------------------------------


def _flip_bytes(path, rng):
    content = bytearray(path.read_bytes())
    for _ in range(max(50, len(content) // 200)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _flip_a_page(path, rng):
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content) // 16384) * 16384
    content[start : start + 16384] = rng.randbytes(16384)
    path.write_bytes(content)


def _truncate(path, rng):
    size = path.stat().st_size
    os.truncate(path, rng.randrange(1, size * 9 // 10))


def _zeros(path, rng):
    path.write_bytes(b"\0" * path.stat().st_size)


def _garbage(path, rng):
    path.write_bytes(rng.randbytes(rng.randrange(1, 100_000)))


def _directory(path, rng):
    path.unlink()
    path.mkdir()


def _other_tables(path, rng):
    _execute(path, "DROP TABLE features", "CREATE TABLE features (a, b)")


def _newer(path, rng):
    _execute(path, f"PRAGMA user_version={rng.randrange(4, 1000)}")


def _foreign(path, rng):
    path.unlink()
    _execute(path, "CREATE TABLE customers (name)")


def _swapped_records(path, rng):
    _execute(path, "UPDATE features SET record = (SELECT record FROM features LIMIT 1)")


def _execute(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


DAMAGES = (
    _flip_bytes,
    _flip_a_page,
    _truncate,
    _zeros,
    _garbage,
    _directory,
    _other_tables,
    _newer,
    _foreign,
    _swapped_records,
)


def damage(folder, *, n_stores=200, seed=0):
    """A damaged store costs one warning, and never gives a wrong vector."""
    folder = Path(folder)
    rng = random.Random(seed)
    texts = [f"text number {i} of the damaged" for i in range(300)]
    want = encode_texts(texts, cache=None)
    encode_texts(texts, cache=folder / "whole")
    _execute(folder / "whole" / "features.sqlite", "PRAGMA wal_checkpoint(TRUNCATE)")
    counts = {one.__name__.strip("_"): 0 for one in DAMAGES}
    n_warnings = []
    for number in range(n_stores):
        one = DAMAGES[number % len(DAMAGES)]
        store = folder / f"store{number}"
        store.mkdir()
        shutil.copy(folder / "whole" / "features.sqlite", store)
        one(store / "features.sqlite", rng)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(2):
                np.testing.assert_array_equal(encode_texts(texts, cache=store), want)
        ours = [str(w.message) for w in seen if "feature cache" in str(w.message)]
        # A page that no row lies on, of an index for one, is not read.
        assert ours or one is _flip_a_page, f"no warning: {one.__name__}, {number}"
        assert len(ours) == len(seen), [str(w.message) for w in seen]
        n_warnings.append(len(ours))
        counts[one.__name__.strip("_")] += 1
        shutil.rmtree(store)
    return {
        "stores": n_stores,
        "kinds": counts,
        "warnings of a store": dict(
            sorted((n, n_warnings.count(n)) for n in set(n_warnings))
        ),
        "wrong vectors": 0,
    }


# -- full and read-only ----------------------------------------------------------------


def full_disk(folder, *, n_texts=3000):
    """A disk that fills up, and one that is read-only: right results, one warning."""
    folder = Path(folder)
    texts = [f"text number {i} of many" for i in range(n_texts)]
    want = encode_texts(texts, cache=None)
    mounted = folder / "small"
    mounted.mkdir()
    outcome = {}
    with _mount(mounted, "-t", "tmpfs", "-o", "size=400k", "tmpfs"):
        messages = _messages(lambda: encode_texts(texts, cache=mounted), want)
        assert len(messages) == 1, messages
        outcome["full"] = messages
    store = folder / "whole"
    encode_texts(texts[: n_texts // 2], cache=store)
    read_only = folder / "read-only"
    read_only.mkdir()
    with _mount(read_only, "--bind", "-o", "ro", str(store)):
        messages = _messages(lambda: encode_texts(texts, cache=read_only), want)
        assert len(messages) == 1, messages
        outcome["read-only"] = messages
    return outcome


def _messages(function, want):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(function(), want)
    return [str(one.message) for one in seen]


@contextlib.contextmanager
def _mount(target, *options):
    done = subprocess.run(["mount", *options, str(target)], capture_output=True)
    if done.returncode:
        raise PermissionError(f"mount: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)
