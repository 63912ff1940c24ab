"""A run: contestants in processes of their own, claims, the record and its table."""

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .._harness import ROOT, versions
from ._exactness import ACCURACY, MEMORY
from ._images import ARRAYS, IMAGES
from ._setting import setting
from ._stage import judge, rate
from ._texts import TEXTS
from ._training import GRID_SEARCH, TRAIN

CASE = "gpu"
STAGES = {
    "images": IMAGES,
    "arrays": ARRAYS,
    "texts": TEXTS,
    "train": TRAIN,
    "grid": GRID_SEARCH,
    "accuracy": ACCURACY,
    "oom": MEMORY,
}
PREPARATION = "preparation"
PATIENCE_S = 240  # with one contestant
SHOWN_OF_ERROR = 2000


def has_card():
    import torch

    return torch.cuda.is_available()


def card():
    """Return what is to be known of the card, or None without one."""
    import torch

    if not has_card():
        return None
    about = torch.cuda.get_device_properties(0)
    return {
        "name": about.name,
        "memory_gib": round(about.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
    }


def outcome(stages=(), *, is_small=False, match="", folder=None, before=None):
    """Run stages; return what the record of the run holds.

    Parameters
    ----------
    stages : sequence of str
        All without one.
    is_small : bool
        Tiny numbers, on the CPU.
    match : str
        Only contestants whose name contains it.
    folder : str or Path, default=None
        Folder of the images and networks, which finds those of an earlier run again.
        None is a temporary one.
    before : dict, default=None
        An earlier record, whose other stages are kept if it is of the same card and the
        same versions.
    """
    about = None if is_small else card()
    kept = _kept(before, about, is_small)
    with tempfile.TemporaryDirectory() as temporary:
        sizes = setting(folder or temporary, is_small)
        Path(sizes.folder).mkdir(parents=True, exist_ok=True)
        prepared: set = set()
        found = {n: run_stage(n, sizes, match, prepared) for n in stages or STAGES}
        found = {name: (kept | found)[name] for name in STAGES if name in kept | found}
        claims = [
            judge(one, found[name]["contestants"], is_small)
            for name in found
            for one in STAGES[name].claims(sizes)
        ]
    sizes = sizes._replace(folder="")  # of no use to others
    return {
        "figures": {
            "card": about,
            "small": is_small,
            "setting": sizes._asdict() | {"n_workers": sizes.n_workers},
            "stages": found,
        },
        "claims": claims,
        "errors": {
            f"{stage}: {name}": one["error"]
            for stage, ran in found.items()
            for name, one in ran["contestants"].items()
            if "error" in one
        },
    }


def _kept(before, about, is_small):
    """Return the stages of an earlier record that stand beside new ones."""
    if before is None:
        return {}
    figures = before["figures"]
    is_alike = figures["card"] == about and figures["small"] == is_small
    return figures["stages"] if is_alike and before["versions"] == versions() else {}


def run_stage(name, sizes, match, prepared):
    """Return what the contestants of a stage measured; one that fails has its error.

    `prepared` are the preparations that have run, which stages have in common.
    """
    stage, start = STAGES[name], time.perf_counter()
    names = [one for one in stage.contestants(sizes) if match in one]
    if stage.prepare is not None and stage.prepare not in prepared:
        names.insert(0, PREPARATION)
        prepared.add(stage.prepare)
    found = {}
    for one in names:
        found[one] = in_own_process(name, one, sizes)
        if "error" in found[one]:
            print(f"{name}: {one}: FAILED: {found[one]['error']}", flush=True)
        else:
            print(f"{name}: {one}: {json.dumps(_brief(found[one]))}", flush=True)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "took_s": round(time.perf_counter() - start, 1),
        "contestants": found,
    }


def _brief(one):
    if "seconds" not in one:
        return one
    return {"rows_per_s": [round(rate(one, i), 1) for i in range(len(one["seconds"]))]}


def in_own_process(stage, name, sizes):
    """Run a contestant in a new Python; return its record, or its error."""
    flags = ["--small"] if sizes.is_small else []
    command = [sys.executable, "-m", "benchmarks.gpu", *flags, "--folder", sizes.folder]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    environment.pop("SKTRANSFER_CACHE", None)  # cold means cold
    if sizes.is_small:  # threads that wait for each other are slow on a busy machine
        environment.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [*command, "--contestant", stage, name],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=err,
            start_new_session=True,  # so that its workers end with it
        )
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            _end(process)
            return {"error": f"it did not come to an end in {PATIENCE_S} s"}
        except BaseException:
            _end(process)
            raise
        out.seek(0), err.seek(0)
        lines, said = out.read().splitlines(), err.read().strip()
    if code or not lines:
        return {"error": f"exit status {code}: {said[-SHOWN_OF_ERROR:]}"}
    return json.loads(lines[-1])


def _end(process):
    """End a process that is still there, and the workers that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def contestant(stage, name, folder, is_small):
    """Run a contestant here; return its record."""
    import torch

    sizes = setting(folder, is_small)
    if name == PREPARATION:
        return STAGES[stage].prepare(sizes)
    record = STAGES[stage].contestants(sizes)[name](sizes)
    if torch.cuda.is_initialized():
        record["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return record


def table(result):
    """Return the rows of the table: speeds of contestants, and then claims."""
    rows = [["", "rows/s, first pass", "rows/s, second pass", "shown", "to show"]]
    for stage, ran in result["figures"]["stages"].items():
        for name, one in ran["contestants"].items():
            if "seconds" in one:
                speeds = [f"{one['rows'] / s:,.0f}" for s in one["seconds"]]
                rows.append([f"{stage}: {name}", *(speeds + [""])[:2], "", ""])
    for one in result["claims"]:
        value = "not run" if one["value"] is None else f"{one['value']:g}"
        rows.append([one["claim"], "", "", value, one["target"]])
    return rows
