"""``encode`` is killed at random points: every row once, as without the kills."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from ._shared import IMAGE_BACKBONE, TIMEOUT_S, one_thread, write_images

ROOT = Path(__file__).resolve().parents[2]


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
        words = [sys.executable, "-m", "sktransfer", "encode", str(folder / "images")]
        words += ["--backbone", backbone, "--rows-per-part", str(rows_per_part)]
        return [*words, "--out", str(out), "--quiet"]

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


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _finish(command):
    with one_thread():
        subprocess.run(
            command, check=True, env=_environment(), stdout=subprocess.DEVNULL
        )


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
