"""What the campaigns share: files, encoders, and a process of their own."""

import contextlib
import multiprocessing
import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
TEXT_BACKBONE, IMAGE_BACKBONE = "tiny-bert", "efficientnet_lite0"


def write_images(folder, n_images):
    """Write small JPEG files, each another one; return their paths."""
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(n_images):
        pixels = rng.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        path = folder / f"{number}.jpg"
        Image.fromarray(pixels).resize((240, 240)).save(path)
        paths.append(str(path))
    return paths


def encode_images(paths, backbone, cache):
    from sktransfer import ImageEncoder

    return ImageEncoder(backbone, cache=cache).fit_transform(paths)


def encode_texts(texts, cache):
    """Encode through a cache object of its own, as another process would."""
    from sktransfer import FeatureCache, TextEncoder

    if isinstance(cache, Path):
        cache = FeatureCache(cache)
    return TextEncoder(TEXT_BACKBONE, cache=cache).fit_transform(texts)


@contextlib.contextmanager
def one_thread():
    """Let processes that start inside compute on one thread each."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def alone(function, *arguments, timeout_s=TIMEOUT_S):
    """Run a function of a module in a new process.

    Returns
    -------
    result : object
        Value that it returned.
    peak_mib : int
        The most memory that the process held.

    Raises
    ------
    AssertionError
        If it hung, or ended by itself: a crash of compiled code is one.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(theirs, function, arguments))
    with one_thread():
        process.start()
    theirs.close()
    try:
        assert ours.poll(timeout_s), f"{function.__name__} hung for {timeout_s} s"
        result = ours.recv()
    except EOFError:
        process.join(TIMEOUT_S)
        raise AssertionError(
            f"{function.__name__} ended its process with {process.exitcode}"
        ) from None
    finally:
        process.kill()
        process.join(TIMEOUT_S)
    if isinstance(result, BaseException):
        raise result
    return result


def _report(pipe, function, arguments):
    try:
        result = function(*arguments), peak_mib()
    except Exception as err:  # whatever it is, the parent raises it
        result = err
    pipe.send(result)


def peak_mib():
    """Return the most memory that this process has held, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024
