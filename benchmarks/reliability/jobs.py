"""``encode``, killed at random points, and on two workers of a cluster."""

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from ._shared import IMAGE_BACKBONE, ROOT, TIMEOUT_S, one_thread, write_images

# A core computes sums in another order than two of them.
LARGEST_DIFFERENCE = 1e-5


def killed_jobs(
    folder,
    *,
    n_images=5000,
    n_kills=3,
    rows_per_part=128,
    backbone=IMAGE_BACKBONE,
    seed=0,
):
    """Kill ``python -m sktransfer encode`` a few times, finish it, compare."""
    folder = Path(folder)
    rng = random.Random(seed)
    write_images(folder / "images", n_images)
    n_parts = -(-n_images // rows_per_part)

    def command(out):
        return _encode(folder / "images", out, backbone, rows_per_part)

    start = time.perf_counter()
    _finish(command(folder / "whole"))
    seconds = time.perf_counter() - start
    out, kept = folder / "out", {}
    found = []
    for number in range(n_kills):
        # So many parts later, and at a random moment of the next one.
        most = max(1, (n_parts - len(kept)) // (n_kills - number + 1))
        _kill(
            command(out), out, len(kept) + rng.randint(1, most), rng, seconds / n_parts
        )
        parts = _parts(out)
        assert kept.items() <= parts.items(), "a finished part was written again"
        kept = parts
        found.append(len(kept))
    _finish(command(out))
    parts = _parts(out)
    assert kept.items() <= parts.items(), "a finished part was written again"
    assert len(parts) == n_parts
    assert not list(out.rglob("*.tmp")), "a temporary file is left"
    _compare(folder / "whole", out, n_images)
    return {
        "images": n_images,
        "parts": n_parts,
        "kills": n_kills,
        "parts finished at each kill": found,
        "rows twice or missing": 0,
        "vectors that differ from an uninterrupted run": 0,
    }


def two_workers(
    folder, *, n_images=2000, n_repeats=3, rows_per_part=128, backbone=IMAGE_BACKBONE
):
    """Encode on two Dask workers of a thread each, and in one process of two threads.

    Both are whole commands, alternating; the cluster stands before the clock starts,
    and its first command, in which the workers load the weights, counts by itself.
    """
    import distributed

    folder = Path(folder)
    write_images(folder / "images", n_images)
    seconds = {"one process": [], "two workers": []}
    environment = _environment()  # the cluster changes this process's
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=":0",
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        local_directory=str(folder),
    ) as cluster:
        more = ["--scheduler", cluster.scheduler_address]
        for repeat in range(n_repeats + 1):
            for name, options in (("one process", []), ("two workers", more)):
                out = folder / f"{name} {repeat}"
                command = _encode(folder / "images", out, backbone, rows_per_part)
                start = time.perf_counter()
                _run([*command, *options], environment)
                seconds[name].append(time.perf_counter() - start)
            difference = _difference(folder, repeat)
    ratios = [
        theirs / ours
        for ours, theirs in zip(*(times[1:] for times in seconds.values()), strict=True)
    ]
    return {
        "images": n_images,
        "seconds": {
            name: round(statistics.median(times[1:]), 1)
            for name, times in seconds.items()
        },
        "time of two workers over one process": round(statistics.median(ratios), 2),
        "the same, least and most": [round(min(ratios), 2), round(max(ratios), 2)],
        "seconds more at first, when the workers load the weights": round(
            seconds["two workers"][0] - statistics.median(seconds["two workers"][1:]), 1
        ),
        "greatest difference of a feature, relative": difference,
    }


def _encode(images, out, backbone, rows_per_part):
    words = [sys.executable, "-m", "sktransfer", "encode", str(images)]
    words += ["--backbone", backbone, "--rows-per-part", str(rows_per_part)]
    return [*words, "--out", str(out), "--quiet"]


def _difference(folder, repeat):
    """Compare the embeddings of both ways; names must be equal."""
    import pandas as pd

    tables = [
        pd.read_parquet(folder / f"{name} {repeat}")
        for name in ("one process", "two workers")
    ]
    names = [table.pop("source_file").tolist() for table in tables]
    assert names[0] == names[1]
    one, two = (table.to_numpy() for table in tables)
    difference = float(abs(one - two).max() / abs(one).max())
    assert difference <= LARGEST_DIFFERENCE
    return difference


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _finish(command):
    with one_thread():
        _run(command, _environment())


def _run(command, environment):
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def _kill(command, out, n_parts, rng, part_s):
    with one_thread():
        process = subprocess.Popen(command, env=_environment())
    deadline = time.monotonic() + 4 * TIMEOUT_S
    while len(_parts(out)) < n_parts:
        assert process.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < deadline, "it hung"
        time.sleep(0.01)
    time.sleep(rng.uniform(0, part_s))
    process.send_signal(signal.SIGKILL)
    assert process.wait(TIMEOUT_S) == -signal.SIGKILL, "it was done already"


def _parts(out):
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}


def _compare(whole, out, n_rows):
    import pyarrow.parquet as pq

    names = []
    for path in sorted(whole.glob("part-*.parquet")):
        table = pq.read_table(out / path.name)
        assert table.equals(pq.read_table(path)), path.name
        names += table["source_file"].to_pylist()
    assert len(names) == len(set(names)) == n_rows
