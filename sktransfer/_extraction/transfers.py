"""Transfers: batches go to a device and results come back while it computes others."""

from collections import deque
from concurrent.futures import wait

from .._utils.device_memory import is_out_of_memory
from .._utils.threads import stager
from .._utils.turns import turn
from ..backbones._state import State

STAGED, RUNNING = 2, 2  # batches on their way there, and batches that are computed
MOST_PINNED = 2**26  # bytes of a result; torch keeps pinned memory for the process


class Transfers:
    """Copies between the host's memory and a device's.

    On CUDA copies run beside the computation: they leave from pinned memory, which
    torch keeps and uses again, on a stream of their own, and results arrive in pinned
    memory. Other devices copy when they are asked to.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device):
        import torch

        self.device = device
        self.is_cuda = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self.is_cuda else None

    def send(self, backbone, batch):
        """Collate a batch and start copying it; return what `arrived` takes."""
        import torch

        state = backbone.batch(
            batch.rows,
            n_rows=batch.n_rows,
            length=batch.length,
            pin_memory=self.is_cuda,
        )
        if self.stream is None:
            return state.to(self.device), None
        with torch.cuda.stream(self.stream):
            state = state.to(self.device)
            return state, self.stream.record_event()

    def arrived(self, sent):
        """Let what is computed next wait for a copy; return the state on the device."""
        import torch

        state, event = sent
        if event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(event)
            for tensor in state:
                if tensor is not None:
                    # Its memory is the other stream's, who must not use it again yet.
                    tensor.record_stream(current)
        return state

    def fetch(self, states):
        """Start copying states to the host; return a function that waits for them."""
        import torch

        if not self.is_cuda:
            host = torch.device("cpu")
            return lambda: [state.to(host) for state in states]
        copies = [State(*map(_to_host, state)) for state in states]
        # Waiting sleeps, as threads that decode need the cores.
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(self.device))

        def arrived():
            event.synchronize()
            return copies

        return arrived


def _to_host(tensor):
    """Start copying a tensor; a large one is waited for, as pinned memory is scarce."""
    import torch

    if tensor is None or not tensor.is_cuda:  # of an engine that gives arrays
        return tensor
    is_pinned = tensor.nbytes <= MOST_PINNED
    copy = torch.empty_like(tensor, device="cpu", pin_memory=is_pinned)
    return copy.copy_(tensor, non_blocking=is_pinned)


class Way:
    """The way of batches through a device: sent, computed and fetched at once.

    Parameters
    ----------
    request : Request
    backbone : Backbone
        Prepared for the device.
    compute : callable
        ``compute(state, batch)`` returns states.
    finish : callable
        ``finish(batch, states)`` takes them on the host and returns the batch's values.
    alone : callable
        ``alone(batch)`` does all that for a batch that did not fit into the memory
        beside the others.
    parts : InParts
    """

    def __init__(self, request, backbone, compute, finish, alone, parts):
        self.request, self.backbone = request, backbone
        self.compute, self.finish, self.alone = compute, finish, alone
        self.parts = parts
        self.transfers = Transfers(request.device)
        self.coming: deque = deque()  # batches, and futures of their states
        self.running: deque = deque()  # batches, and functions that wait for theirs

    def run(self, batches):
        """Yield ``(batch, values)`` in order; large batches may come in parts."""
        pool = stager()
        try:
            for batch in batches:
                for part in self.parts.split(batch):
                    sent = pool.submit(self.transfers.send, self.backbone, part)
                    self.coming.append((part, sent))
                    if len(self.coming) > STAGED:
                        yield from self._launch()
            while self.coming:
                yield from self._launch()
            yield from self._land(0)
        finally:
            for _, sent in self.coming:
                sent.cancel()
            wait([sent for _, sent in self.coming])

    def _launch(self):
        """Start to compute the next batch; yield one that has been."""
        batch, sent = self.coming[0]
        request = self.request
        try:
            there = sent.result()
            with turn(request.device, request.precision):
                states = self.compute(self.transfers.arrived(there), batch)
                self.running.append((batch, self.transfers.fetch(states)))
            is_launched = True
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            is_launched = False
        self.coming.popleft()
        if is_launched:
            yield from self._land(RUNNING)
            return
        # Once nothing else is in the memory, and in parts if it has to be.
        yield from self._land(0)
        yield batch, self.alone(batch)

    def _land(self, most):
        """Yield what has been computed, until at most so many batches are."""
        while len(self.running) > most:
            batch, fetched = self.running.popleft()
            yield batch, self.finish(batch, fetched())
