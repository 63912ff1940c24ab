"""What the cases share: data, clocks, counts and the record of a run."""

import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

SEED = 0
ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "SKTRANSFER_TEST_DATA"
PACKAGES = (
    "sktransfer scikit-learn numpy scipy torch torchvision timm sentence-transformers "
    "transformers pillow pandas skrub embetter skada POT"
).split()


class MissingDataError(Exception):
    """A case cannot run because its data, or its device, is not there."""


# -- data ----------------------------------------------------------------------------


def data_folder(name):
    default = ROOT.parent / "shared" / "data"
    root = Path(os.environ.get(DATA_VARIABLE) or default)
    if not (root / name).is_dir():
        raise MissingDataError(
            f"there is no folder {name!r} in {str(root)!r}; set {DATA_VARIABLE} to the "
            "folder that holds the data sets"
        )
    return root / name


def banking77(split, n_rows=None):
    """Return texts and labels; of the training part, a seeded sample if asked."""
    import pandas as pd

    frame = pd.read_csv(data_folder("banking77") / f"{split}.csv")
    if n_rows is not None:
        frame = frame.sample(n_rows, random_state=SEED)
    return frame["text"].reset_index(drop=True), frame["label"].to_numpy()


def clothing10(split):
    """Return a frame with path, label and sender_id; paths can be opened."""
    import pandas as pd

    folder = data_folder("clothing10")
    frame = pd.read_csv(folder / "index.csv")
    frame = frame[frame["split"] == split].reset_index(drop=True)
    frame["path"] = [str(folder / path) for path in frame["path"]]
    return frame


def airbnb(split):
    """Return the frame of the listings: text, numbers and a price."""
    import pandas as pd

    return pd.read_csv(data_folder("seattle_airbnb") / f"{split}.csv")


def packaged_folder(package):
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(spec.submodule_search_locations[0])


# -- clocks --------------------------------------------------------------------------


@contextlib.contextmanager
def stopwatch():
    """Give wall and user CPU seconds, the latter summed over threads."""
    record = SimpleNamespace(wall_s=None, user_s=None)
    user = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    wall = time.perf_counter()
    yield record
    record.wall_s = time.perf_counter() - wall
    record.user_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime - user


def alternate(functions, repeats):
    """Time functions in turns, so that a slow spell of the machine hits all of them.

    Parameters
    ----------
    functions : dict of str to callable
    repeats : int

    Returns
    -------
    seconds : dict of str to list of float
    results : dict of str to object
        Result of the last call of each.
    """
    names = list(functions)
    seconds, results = {name: [] for name in names}, {}
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            with stopwatch() as clock:
                results[name] = functions[name]()
            seconds[name].append(clock.wall_s)
    return seconds, results


def spread(values):
    """Return median, least and greatest of some numbers."""
    values = [float(value) for value in values]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(seconds, name):
    """Return the spread of each contestant's times over those of one, turn by turn."""
    ours = seconds[name]
    return {
        n: spread(s / o for s, o in zip(times, ours, strict=True))
        for n, times in seconds.items()
    }


# -- counts --------------------------------------------------------------------------


@contextlib.contextmanager
def counting():
    """Count rows that enter a network and networks that are loaded, whoever does it.

    The hook is torch's global one, so that it sees every library alike: rows are
    counted where token ids enter the word embedding and where three channels enter
    the first convolution. Rows of padding, which are constant, are not counted.
    """
    import timm
    from sentence_transformers import SentenceTransformer
    from torch.nn.modules.module import register_module_forward_pre_hook

    count = SimpleNamespace(rows=0, loads=0)

    def hook(module, args):
        count.rows += _real_rows(module, args)

    def counted(function):
        def call(*args, **kwargs):
            count.loads += 1
            return function(*args, **kwargs)

        return call

    handle = register_module_forward_pre_hook(hook)
    try:
        with (
            mock.patch.object(timm, "create_model", counted(timm.create_model)),
            mock.patch.object(
                SentenceTransformer, "__init__", counted(SentenceTransformer.__init__)
            ),
        ):
            yield count
    finally:
        handle.remove()


def _real_rows(module, args):
    from torch import nn

    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        return int((args[0] != module.padding_idx).any(dim=1).sum())
    if isinstance(module, nn.Conv2d) and module.in_channels == 3:
        plane = args[0][:, 0].flatten(1)
        return int((plane.amax(1) > plane.amin(1)).sum())
    return 0


def in_second_process(module, folder, *arguments):
    """Call ``module.second_process(...)`` in a new Python with a cache folder."""
    call = f"case.second_process(*{arguments!r})"
    code = f"import json, {module} as case; print(json.dumps({call}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"SKTRANSFER_CACHE": str(folder)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


# -- the record of a run -------------------------------------------------------------


def claim(text, value, target, holds):
    """Return one thing that the case was to show, and whether it did."""
    return {"claim": text, "value": value, "target": target, "holds": bool(holds)}


def at_least(text, value, least, digits=2):
    """Return the claim that a value is not below another."""
    return claim(text, round(value, digits), f">= {least}", value >= least)


def relative_difference(got, want):
    """Return the greatest difference of two matrices over the greatest value."""
    return float(abs(got - want).max() / abs(want).max())


def record(case, full, outcome):
    """Complete what a case returned to what its JSON file holds."""
    return {
        "case": case,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seed": SEED,
        "full": full,
        **outcome,
        "versions": versions(),
        "machine": machine(),
    }


def versions():
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def machine():
    import torch

    has_card = torch.cuda.is_available()
    return {
        "cpu": _cpu_model(),
        **({"card": torch.cuda.get_device_name()} if has_card else {}),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "os": f"{platform.system()} {platform.release()}",
        "thread_variables": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("OMP_", "GOMP_", "MKL_", "OPENBLAS_"))
        },
        # Above the number of cores, other programs took part in the timings.
        "load_average_15_min": round(os.getloadavg()[2], 2),
    }


def _cpu_model():
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
