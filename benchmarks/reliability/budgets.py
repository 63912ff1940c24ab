"""A folder and a memory smaller than the job: what is found again, what it takes."""

import gc
import mmap
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

from ._shared import TIMEOUT_S

SHARE = 0.7  # of the rows, for which there is room
N_VALUES = 3072  # floats of a row; a page of the folder holds one
PAGE_BYTES = 2**14


def budgets(folder, *, n_rows=1000, n_folds=12, memory_mib=100):
    """Passes over more rows than there is room for, and the memory that folds take."""
    from sktransfer import FeatureCache

    in_folder = FeatureCache(
        Path(folder) / "cache",
        memory_budget=0,
        folder_budget=int(SHARE * n_rows * PAGE_BYTES),
    )
    in_memory = FeatureCache(memory_budget=int(SHARE * n_rows * 4 * N_VALUES))
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it is full
        for name, cache in (("folder", in_folder), ("memory", in_memory)):
            found[name] = [_go_through(cache, range(n_rows)) for _ in range(4)]
    # A process of its own: what was freed here would hide what it needs.
    code = (
        "from benchmarks.reliability.budgets import growth; "
        f"print(growth({n_folds}, {memory_mib}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=TIMEOUT_S
    )
    times = float(done.stdout)
    assert min(found["folder"][1:] + found["memory"][1:]) > 0.6 * n_rows, found
    assert times < 1.2, times
    return {
        "rows": n_rows,
        "rows found in passes 1 to 4": found,
        "greatest growth of the process, of the memory budget": round(times, 2),
    }


def _go_through(cache, numbers, n_values=N_VALUES, rows_a_batch=50):
    """Do what a call does, with every value checked; return how many were found."""
    from sktransfer._utils.allocator import apart
    from sktransfer.cache._memory import new_scan

    scan, n_found, numbers = new_scan(), 0, list(numbers)
    for start in range(0, len(numbers), rows_a_batch):
        part = {i.to_bytes(40, "big"): i for i in numbers[start : start + rows_a_batch]}
        found = cache.get_many(list(part), None, scan)
        assert all((row == part[key]).all() for key, row in found.items())
        n_found += len(found)
        left = {key: i for key, i in part.items() if key not in found}
        rows = [np.full(n_values, i, np.float32) for i in left.values()]
        cache.put_many(
            dict(zip(left, apart(rows, np.float32), strict=True)), None, scan
        )
    return n_found


def growth(n_folds, memory_mib):
    """Return the greatest growth of this process in terms of the memory budget."""
    from sktransfer import FeatureCache

    warnings.simplefilter("ignore", RuntimeWarning)
    n_values = 50_000
    n_rows = 4 * memory_mib * 2**20 // (4 * n_values)
    cache = FeatureCache(memory_budget=memory_mib * 2**20)
    rng, before, greatest = np.random.default_rng(0), _resident(), 0
    for _ in range(n_folds):
        fold = np.sort(rng.choice(n_rows, n_rows // 2, replace=False)).tolist()
        _go_through(cache, fold, n_values, rows_a_batch=8)
        gc.collect()
        greatest = max(greatest, _resident() - before)
    return greatest / (memory_mib * 2**20)


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
