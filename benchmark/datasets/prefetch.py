"""Decode images in parallel before they are needed, and return them in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(read: Callable[[int], T], count: int) -> Iterator[T]:
    """Yield read(0), read(1), ... read(count - 1), in order, computed by as many threads as there are cores.

    Decoders release the interpreter's lock. At most four results per thread are queued, so memory stays bounded.
    """
    threads = min(os.cpu_count() or 1, 16)
    pool = ThreadPoolExecutor(threads)
    try:
        ahead = min(4 * threads, count)
        waiting = deque(pool.submit(read, index) for index in range(ahead))
        for index in range(ahead, count):
            yield waiting.popleft().result()
            waiting.append(pool.submit(read, index))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
