"""Decode files in threads ahead of the network that embeds them, in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from userlogfeat._check import check_positive
from userlogfeat.audio.errors import AudioError

# Decoded clips that wait for the caller; and one more for each thread.
MAX_WAITING_BYTES = 1 << 30


def decode_ahead(
    paths: Iterable[Any],
    read: Callable[..., Any],
    *,
    n_threads: int = 2,
    ahead: int = 16,
) -> Iterator[tuple[int, Any, Any]]:
    """Read files in threads while the caller works on those before.

    At most `ahead` clips are read before they are asked for, and ``MAX_WAITING_BYTES``
    of them at most wait, so memory does not grow with the number of files, nor with
    their lengths beyond that. Closing the iterator, or leaving its loop by an
    exception, stops the threads once they are done with the files they are reading.

    Parameters
    ----------
    paths : iterable
        Anything `read` understands; a generator is advanced in the caller's thread.
    read : callable
        Function of one of them that returns a waveform.
    n_threads : int
        Number of threads.
    ahead : int
        Clips read in advance.

    Yields
    ------
    index : int
        Position in `paths`.
    path : object
        As given.
    waveform : ndarray or AudioError
        Result of `read`, or the AudioError that it raised. Other errors are raised
        here.

    Examples
    --------
    >>> from functools import partial
    >>> from userlogfeat.audio import decode_ahead, read_audio
    >>> read = partial(read_audio, sample_rate=16000)
    >>> for index, path, waveform in decode_ahead(["no.wav"], read):
    ...     print(index, path, type(waveform).__name__)
    0 no.wav MissingAudioError
    """
    check_positive(n_threads, "n_threads", integer=True)
    check_positive(ahead, "ahead", integer=True)
    return _decode_ahead(enumerate(paths), read, int(n_threads), int(ahead))


def _decode_ahead(numbered, read, n_threads, ahead):
    pending, room = deque(), _Room()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="decode-ahead") as pool:

        def submit(n):
            for index, path in islice(numbered, n):
                pending.append((index, path, pool.submit(room.fill, read, index, path)))

        try:
            submit(ahead)
            while pending:
                index, path, future = pending.popleft()
                waveform = future.result()
                room.empty(index, waveform)
                submit(1)
                del future  # it would hold the waveform while the caller works
                yield index, path, waveform
                del waveform
        finally:
            for _, _, future in pending:
                future.cancel()
            room.close()


class _Room:
    """Room for decoded clips: `MAX_WAITING_BYTES`, and always the next one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._n_bytes, self._next, self._closed = 0, 0, False

    def fill(self, read, index, path):
        """Read a file once there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_free(index))
        if self._closed:
            return None
        waveform = _attempt(read, path)
        with self._changed:
            self._n_bytes += getattr(waveform, "nbytes", 0)
        return waveform

    def empty(self, index, waveform):
        """Hand a clip over; the one after it is the next."""
        with self._changed:
            self._n_bytes -= getattr(waveform, "nbytes", 0)
            self._next = index + 1
            self._changed.notify_all()

    def close(self):
        """Release the threads that wait: their clips are no longer needed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_free(self, index):
        free = self._n_bytes < MAX_WAITING_BYTES
        return free or index <= self._next or self._closed


def _attempt(read, path):
    try:
        return read(path)
    except AudioError as error:
        # Tracebacks hold the frames, and with them the samples, of what failed.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return error
