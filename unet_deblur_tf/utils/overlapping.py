"""Reads the next file and writes the last one while one is worked on."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor


def overlapped(
    items: Iterable, read: Callable, work: Callable, write: Callable, ahead: bool = True
) -> Iterator[tuple[object, Future]]:
    """Takes each item through three functions, of which the first and the last run in a thread of their own.

    Args:
        items: iterable.
        read: function from an item to a value.
        work: function (item, value) that returns a result. It runs in the thread of the caller.
        write: function (item, value, result).
        ahead: bool, whether to read the next item meanwhile.

    Yields:
        (item, `Future` of what `write` returns, which raises what one of the functions raised), in order. An
        `Exception` ends the work on its item only; other exceptions, such as Ctrl-C, end all.
    """
    items = list(items)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reading, writing, unread = deque(), deque(), deque(items)
        for item in items:
            while unread and len(reading) <= ahead:
                reading.append(reader.submit(read, unread.popleft()))
            try:
                value = reading.popleft().result()
                rest = functools.partial(write, item, value, work(item, value))
            except Exception as error:
                rest = functools.partial(_raise, error)
            writing.append((item, writer.submit(rest)))
            if len(writing) > 1:
                yield writing.popleft()
        yield from writing


def _raise(error):
    raise error
