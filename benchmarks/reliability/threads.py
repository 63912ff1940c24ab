"""Threads, forks and a DataLoader at once: nothing hangs, nothing is left behind."""

import os
import random
import threading
import time
import warnings
from pathlib import Path

import numpy as np

from ._shared import alone, write_images

LIMIT_S = 120.0  # without an end of a call: a hang


def threads(folder, *, n_threads=16, n_calls=200, n_forks=40, n_images=64):
    """Threads encode images and texts through one folder, beside forks and a loader."""
    paths = write_images(Path(folder) / "images", n_images)
    texts = [f"text {i} " + "some words " * (i % 9) for i in range(100)]
    arguments = paths, texts, Path(folder) / "cache", n_threads, n_calls, n_forks
    result, peak = alone(_all_at_once, *arguments, timeout_s=3600)
    return result | {"peak MiB": peak}


def _all_at_once(paths, texts, cache_folder, n_threads, n_calls, n_forks):
    import torch

    from sktransfer import FeatureCache, ImageEncoder, TextEncoder

    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    images = ImageEncoder("tiny-cnn", cache=None).fit_transform(paths)
    words = TextEncoder("tiny-bert", cache=None).fit_transform(texts)
    # Room for a part of the rows, so that calls read, compute, write and evict.
    cache = FeatureCache(cache_folder, memory_budget=10_000)
    encoders = [
        (ImageEncoder("tiny-cnn", cache=cache).fit(paths), paths, images),
        (TextEncoder("tiny-bert", cache=cache).fit(texts), texts, words),
        (TextEncoder("tiny-bert", cache=None).fit(texts), texts, words),
    ]
    counts = _Counts(n_threads)
    stop = threading.Event()
    loader = threading.Thread(target=_load_batches, args=(stop, counts), daemon=True)
    loader.start()
    workers = [
        threading.Thread(
            target=_call, args=(encoders, n_calls, number, counts), daemon=True
        )
        for number in range(n_threads)
    ]
    for worker in workers:
        worker.start()
    done = 0
    while any(worker.is_alive() for worker in workers):
        if done < n_forks:
            _fork(encoders, done, counts)
            done += 1
        assert time.monotonic() - counts.last < LIMIT_S, "no call has ended: a hang"
        time.sleep(0.2)
    stop.set()
    loader.join(LIMIT_S)
    assert not loader.is_alive(), "the DataLoader hangs"
    assert not counts.problems, counts.problems[:5]
    assert (counts.wrong, counts.failed) == (0, 0), (counts.wrong, counts.failed)
    after = [torch.get_num_threads(), _in_new_thread()]
    assert after == [2, 2], after
    return {
        "threads": n_threads,
        "calls": counts.calls,
        "wrong vectors": counts.wrong,
        "forks": done,
        "forked children that failed": counts.failed,
        "batches of the DataLoader": counts.batches,
        "threads of torch in this thread and in a new one, before and after": 2,
        "longest call (s)": round(counts.longest, 1),
    }


class _Counts:
    def __init__(self, n_threads):
        self.lock = threading.Lock()
        self.calls = self.wrong = self.failed = self.batches = 0
        self.problems = []
        self.last, self.longest = time.monotonic(), 0.0

    def call(self, seconds, is_right):
        with self.lock:
            self.calls += 1
            self.wrong += not is_right
            self.last = time.monotonic()
            self.longest = max(self.longest, seconds)


def _call(encoders, n_calls, seed, counts):
    rng = random.Random(seed)
    try:
        for _ in range(n_calls):
            start = time.monotonic()
            is_right = _is_right(encoders, rng)
            counts.call(time.monotonic() - start, is_right)
    except Exception as err:  # whatever ends a thread is a finding
        counts.problems.append(repr(err))


def _is_right(encoders, rng):
    encoder, rows, want = rng.choice(encoders)
    chosen = [rng.randrange(len(rows)) for _ in range(rng.randrange(1, 20))]
    got = encoder.transform([rows[i] for i in chosen])
    return np.allclose(got, want[chosen], rtol=1e-4, atol=1e-5)


def _fork(encoders, seed, counts):
    pid = os.fork()
    if not pid:
        try:
            rng = random.Random(1000 + seed)
            code = 0 if all(_is_right(encoders, rng) for _ in range(3)) else 1
        except BaseException as err:
            print("a forked child:", repr(err), flush=True)
            code = 2
        os._exit(code)
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            counts.failed += os.waitstatus_to_exitcode(status) != 0
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    counts.problems.append(f"a forked child hung for {LIMIT_S:.0f} s")


def _load_batches(stop, counts):
    """Run a DataLoader with workers, as other parts of a program do."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.zeros(64, 3))
    while not stop.is_set():
        for _ in DataLoader(data, batch_size=8, num_workers=1, timeout=60):
            counts.batches += 1
        _pin()
        time.sleep(0.5)


def _pin():
    """Do to later threads what the pinning thread of a DataLoader does on a GPU."""
    import torch

    def work():
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        time.sleep(0.05)
        torch.set_num_threads(before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _in_new_thread():
    import torch

    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]
