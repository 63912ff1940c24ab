"""Threads and locks of a process: pools made once, locks that a fork leaves free."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sktransfer import ImageEncoder
from sktransfer._utils import threads

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="forks safely on Linux only")


def test_readers_are_as_many_as_the_cores_whatever_torch_says(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setattr(threads, "_pools", {})
    pool = threads.readers()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the pinning thread of a DataLoader does
    try:
        assert threads.readers() is pool
        assert threads.n_cores() == pool._max_workers == min(2, os.cpu_count())
    finally:
        torch.set_num_threads(before)


def test_calls_share_their_threads():
    rows = np.zeros((70, 40, 40, 3), np.uint8)
    encoder = ImageEncoder("tiny-cnn", cache=None).fit(rows)
    encoder.transform(rows)
    before = {thread.ident for thread in threading.enumerate()}
    for _ in range(3):
        encoder.transform(rows)
    assert {thread.ident for thread in threading.enumerate()} <= before


def test_a_pool_for_cores_computes_alone_and_changes_no_other_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pool = threads.single_cores(2)
        ready = threading.Barrier(2)
        inside = list(pool.map(lambda _: (ready.wait(60), _torchs())[1], range(2)))
        with ThreadPoolExecutor(1) as new:
            assert (inside, new.submit(_torchs).result(), _torchs()) == ([1, 1], 2, 2)
    finally:
        torch.set_num_threads(before)


def _torchs():
    return torch.get_num_threads()


@FORKS
def test_a_child_of_a_fork_reads_images_while_the_parent_does():
    code = """
import os, sys, threading, warnings
import numpy as np
warnings.simplefilter("ignore")
from sktransfer import ImageEncoder, load_backbone, register_backbone
rows = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), "uint8")
encoder = ImageEncoder("tiny-cnn").fit(rows)
want = encoder.transform(rows)
loading, go_on = threading.Event(), threading.Event()
def build(spec):
    loading.set()
    go_on.wait(60)
    return load_backbone("tiny-cnn")
register_backbone("slow", build, modality="image")
thread = threading.Thread(target=load_backbone, args=("slow",))
thread.start()
loading.wait(60)
pid = os.fork()
if pid == 0:
    same = np.array_equal(encoder.transform(rows[::-1]), want[::-1])
    load_backbone("tiny-bert")
    os._exit(7 if same else 1)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
go_on.set()
thread.join()
sys.exit(status)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 7
