"""The way of batches through a device: sent, computed and fetched at once."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sktransfer import ImageEncoder, TextEncoder
from sktransfer._extraction import transfers
from sktransfer._extraction.batches import Batch, Item
from sktransfer._extraction.transfers import RUNNING, Transfers, Way
from sktransfer._utils.device_memory import InParts
from sktransfer.backbones._state import State

CPU = torch.device("cpu")


def batch(number, n_rows=4):
    rows = [np.full(2, 10 * number + i, np.float32) for i in range(n_rows)]
    return Batch([Item(i, b"") for i in range(n_rows)], rows, n_rows)


class Network:
    """Doubles its rows, and has room for so many at once."""

    def __init__(self, room=100, fails_at=None):
        self.room, self.fails_at = room, fails_at
        self.events, self.sizes = [], []

    def batch(self, rows, **options):
        self.events.append(("sent", int(rows[0][0]) // 10))
        return State(torch.from_numpy(np.stack(rows)))

    def compute(self, state, batch):
        number = int(batch.rows[0][0]) // 10
        self.events.append(("computed", number))
        self.sizes.append(batch.n_rows)
        if number == self.fails_at:
            raise ValueError("no such kernel")
        if batch.n_rows > self.room:
            raise torch.OutOfMemoryError("no room")
        return [State(state.hidden * 2)]

    def finish(self, batch, states):
        self.events.append(("fetched", int(batch.rows[0][0]) // 10))
        return list(states[0].hidden[:, 0].tolist())

    def way(self, *, parts=None):
        request = SimpleNamespace(device=CPU, precision="float32")
        parts = InParts(CPU) if parts is None else parts

        def whole(batch):
            return self.finish(batch, self.compute(self.batch(batch.rows), batch))

        return Way(
            request,
            self,
            compute=self.compute,
            finish=self.finish,
            alone=lambda batch: parts.run(whole, batch),
            parts=parts,
        )


def values(network, batches, **options):
    found = []
    for part, results in network.way(**options).run(batches):
        assert len(results) == len(part.rows)
        found += results
    return found


def test_batches_come_back_in_order():
    want = [2.0 * (10 * number + i) for number in range(9) for i in range(4)]
    assert values(Network(), map(batch, range(9))) == want


def test_later_batches_are_sent_and_computed_before_a_result_is_waited_for():
    network = Network()
    values(network, map(batch, range(9)))
    first = network.events.index(("fetched", 0))
    assert ("computed", RUNNING) in network.events[:first]
    # And no more than that: what is on its way takes memory.
    assert ("computed", RUNNING + 1) not in network.events[:first]


def test_what_does_not_fit_runs_in_parts_once_the_others_are_done():
    network = Network(room=2)
    assert values(network, map(batch, range(3))) == [
        2.0 * (10 * number + i) for number in range(3) for i in range(4)
    ]
    # Those that were on their way already are tried whole, and no others.
    assert network.sizes.count(4) <= 1 + transfers.STAGED + 1
    network.sizes.clear()
    parts = InParts(CPU)
    parts.shrink(batch(0))
    values(network, map(batch, range(3)), parts=parts)
    assert set(network.sizes) == {2}


def test_one_row_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        values(Network(room=0), map(batch, range(3)))


def test_an_error_of_the_network_is_raised_and_nothing_goes_on():
    network = Network(fails_at=3)
    with pytest.raises(ValueError, match="no such kernel"):
        values(network, map(batch, range(9)))
    n_events = len(network.events)
    assert ("computed", 4) not in network.events
    # Nothing is left to run in the thread.
    transfers.stager().submit(int).result()
    assert len(network.events) == n_events


def test_whoever_stops_early_leaves_nothing_running():
    network = Network()
    way = network.way()
    with contextlib.closing(way.run(map(batch, range(9)))) as results:
        next(results)
    assert all(sent.done() for _, sent in way.coming)


class FakeCuda:
    """CUDA's streams and events by name, with what is asked of them in order."""

    def __init__(self, monkeypatch):
        self.log, self.current = [], "main"
        for name in ("Stream", "stream", "current_stream", "Event"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def Stream(self, device):
        def record_event():
            self.log.append("copies noted")
            return "sent"

        return SimpleNamespace(name="copies", record_event=record_event)

    @contextlib.contextmanager
    def stream(self, stream):
        self.current, before = stream.name, self.current
        yield
        self.current = before

    def current_stream(self, device):
        def wait_event(event):
            self.log.append(f"main waits for {event}")

        return SimpleNamespace(name="main", wait_event=wait_event)

    def Event(self, blocking):
        assert blocking
        return SimpleNamespace(
            record=lambda stream: self.log.append(f"event on {stream.name}"),
            synchronize=lambda: self.log.append("event waited for"),
        )


class FakeTensor:
    """A tensor on CUDA or in pinned memory, by name."""

    nbytes = 100

    def __init__(self, cuda, is_cuda=False):
        self.cuda, self.is_cuda = cuda, is_cuda

    def pin_memory(self):
        return self

    def to(self, device, non_blocking):
        assert non_blocking
        self.cuda.log.append(f"sent on {self.cuda.current}")
        return FakeTensor(self.cuda, is_cuda=True)

    def record_stream(self, stream):
        self.cuda.log.append("kept for main")

    def copy_(self, other, non_blocking):
        assert non_blocking
        self.cuda.log.append(f"fetched on {self.cuda.current}")
        return self


def test_cuda_copies_on_a_stream_of_their_own_and_waits_at_last(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    asked = {}

    def collate(rows, **options):
        asked.update(options)
        return State(FakeTensor(cuda))

    def empty_like(tensor, **options):
        assert options == {"device": "cpu", "pin_memory": True}
        return FakeTensor(cuda)

    monkeypatch.setattr(torch, "empty_like", empty_like)
    ways = Transfers(torch.device("cuda", 0))
    state = ways.send(SimpleNamespace(batch=collate), batch(0))
    assert asked == {"n_rows": 4, "length": None, "pin_memory": True}
    fetched = ways.fetch([ways.arrived(state)])
    assert cuda.log == [
        "sent on copies",
        "copies noted",
        "main waits for sent",
        "kept for main",
        "fetched on main",
        "event on main",
    ]
    fetched()
    assert cuda.log[-1] == "event waited for"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("batch_size", ["auto", 7])
def test_batches_through_a_card_arrive_whole(batch_size):
    texts = [f"text number {i} " * (i % 9) for i in range(2000)]
    want = TextEncoder("tiny-bert", device="cpu", cache=None).fit_transform(texts)
    options = {"device": "cuda", "cache": None, "batch_size": batch_size}
    got = TextEncoder("tiny-bert", **options).fit_transform(texts)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    pixels = np.random.default_rng(0).integers(0, 256, (700, 40, 40, 3), dtype=np.uint8)
    want = ImageEncoder("tiny-cnn", device="cpu", cache=None).fit_transform(pixels)
    got = ImageEncoder("tiny-cnn", **options).fit_transform(pixels)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_workers_on_one_card_compute_the_same():
    import joblib

    texts = [f"text number {i}" for i in range(200)]
    encoder = TextEncoder("tiny-bert", device="cuda", cache=None)
    want = encoder.fit_transform(texts)
    for got in joblib.Parallel(3)(
        joblib.delayed(encoder.transform)(texts) for _ in range(3)
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_that_a_card_has_no_room_for_runs_in_parts():
    pixels = np.random.default_rng(0).integers(0, 256, (512, 64, 64, 3), dtype=np.uint8)
    encoder = ImageEncoder("resnet10t", device="cuda", cache=None, image_size=256)
    want = encoder.fit_transform(pixels)
    torch.cuda.empty_cache()
    room = torch.cuda.memory_allocated() + 2**29
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        got = encoder.set_params(batch_size=512).transform(pixels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("precision", "most"), [("float32", 1e-4), ("tf32", 1e-2), ("bfloat16", 5e-2)]
)
def test_a_card_computes_what_the_cpu_computes_at_each_precision(precision, most):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), dtype=np.uint8)
    want = ImageEncoder("tiny-cnn", device="cpu").fit_transform(pixels)
    encoder = ImageEncoder("tiny-cnn", device="cuda", precision=precision)
    got = encoder.fit_transform(pixels)
    assert np.abs(got - want).max() <= most * np.abs(want).max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.slow
def test_compile_computes_the_same_on_a_card():
    texts = [f"text number {i} " * (i % 9) for i in range(50)]
    encoder = TextEncoder("tiny-bert", device="cuda", cache=None)
    want = encoder.fit_transform(texts)
    got = encoder.set_params(engine="compile").transform(texts)
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max())
