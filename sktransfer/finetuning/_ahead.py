"""Items that a thread makes while the last ones are used."""

import queue
import threading

N_AHEAD = 2
_END = object()


class _Failed:
    def __init__(self, error):
        self.error = error


def ahead(items, n_items=N_AHEAD):
    """Yield items in their order; a thread makes some of them ahead.

    Closed early, as by an error where items are used, it waits for the thread to end:
    to be sure of that, close it with `contextlib.closing`.

    Parameters
    ----------
    items : iterable
        Only the thread iterates over it, and so draws its random numbers in order.
    n_items : int
        Items that may wait.
    """
    made: queue.Queue = queue.Queue(n_items)
    is_over = threading.Event()

    def work():
        try:
            for item in items:
                made.put(item)
                if is_over.is_set():
                    return
            made.put(_END)
        except BaseException as err:  # raised where the items are used
            made.put(_Failed(err))

    thread = threading.Thread(target=work, name="sktransfer-ahead", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
            del item  # holds a batch, which the next one need not wait for
    finally:
        is_over.set()
        while thread.is_alive():
            while not made.empty():  # the thread may wait for a place
                made.get_nowait()
            thread.join(0.05)
