"""Where wav, aiff, au, w64 and caf files hold their samples, and what is behind them.

Programs that write to a pipe cannot know how much will follow: their headers say 0, or
a number that stands for "unknown". The decoder reads nothing of the first, and says
nothing of a file behind another, nor of sound that goes on behind the number of bytes
that was promised. So the chunks are walked through here. No sample is read.
"""

from typing import BinaryIO, Literal, NamedTuple

from userlogfeat.audio.tags import read_at

_MPEG = (0x50, 0x55)  # format tags of wav: layers I and II, and III
_GUID_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of most chunks of w64
_UNKNOWN_BYTES = 0x7FFF0000  # sizes from here on stand for "unknown" in short files
_STEP = 1 << 20  # bytes looked at at a time


class _Grammar(NamedTuple):
    """How chunks are written."""

    order: Literal["little", "big"]  # of bytes
    first: int  # byte of the first chunk
    id_bytes: int
    size_bytes: int
    counts_itself: bool  # whether a size includes the chunk's own header
    align: int
    data: bytes  # how the name of the chunk with the samples begins

    @property
    def head_bytes(self):
        return self.id_bytes + self.size_bytes


_GRAMMARS = {
    b"RIFF": _Grammar("little", 12, 4, 4, False, 2, b"data"),
    b"RIFX": _Grammar("big", 12, 4, 4, False, 2, b"data"),
    b"RF64": _Grammar("little", 12, 4, 4, False, 2, b"data"),
    b"FORM": _Grammar("big", 12, 4, 4, False, 2, b"SSND"),
    b"riff": _Grammar("little", 40, 16, 8, True, 8, b"data"),
    b"caff": _Grammar("big", 8, 4, 8, False, 1, b"data"),
}
_AU = {b".snd": "big", b"dns.": "little"}
MARKS = (*_GRAMMARS, *_AU)
_BEFORE = {b"FORM": 8, b"caff": 4}  # bytes of the chunk that are no samples yet


class Samples(NamedTuple):
    """Where the samples of a file are."""

    start: int  # first byte
    stop: int  # the byte after the last, by what the header says
    head: bytes  # the header with the size of what is there; empty where it is right
    is_mpeg: bool  # whether they are frames of MPEG audio
    is_cut: bool  # whether the header promises more than there is
    n_behind: int  # bytes behind them that are no chunk, and not all zero
    second: int | None  # the byte where another recording begins


def find_samples(file: BinaryIO, size: int) -> Samples | None:
    """Find the samples of a file that begins with one of `MARKS`.

    Parameters
    ----------
    file : binary file
        Seekable and buffered.
    size : int
        Of the file, in bytes.

    Returns
    -------
    Samples or None
        None where it has none, or its chunks cannot be followed up to them.
    """
    mark = read_at(file, 0, 4)
    if mark in _AU:
        return _find_in_au(file, size, mark)
    grammar, is_mpeg, n_long = _GRAMMARS[mark], False, None
    for name, start, length in _chunks(file, grammar, grammar.first, size, whole=False):
        if name == b"fmt ":
            is_mpeg = int.from_bytes(read_at(file, start, 2), grammar.order) in _MPEG
        elif name == b"ds64":
            n_long = int.from_bytes(read_at(file, start + 8, 8), grammar.order)
        elif name.startswith(grammar.data):
            if n_long is not None and length == 0xFFFFFFFF:
                length = n_long
            is_cut = size + 1 < start + length < start + _UNKNOWN_BYTES
            samples = Samples(
                start, min(start + length, size), b"", is_mpeg, is_cut, 0, None
            )
            is_open = mark == b"caff" and length >> 63
            if length <= _BEFORE.get(mark, 0) or is_open:
                return _without_size(file, size, mark, samples)
            return _look_behind(file, size, mark, samples)
    return None


def _without_size(file, size, mark, samples):
    """Samples of which the header says that there are none."""
    grammar, start = _GRAMMARS[mark], samples.start
    stop = start + _BEFORE.get(mark, 0)
    if stop >= size or next(_chunks(file, grammar, stop, size), None) is not None:
        return samples  # there are none
    head = bytearray(read_at(file, 0, start))
    if mark == b"caff":
        head[-8:] = (size - start).to_bytes(8, "big")
    elif mark in (b"RIFF", b"RIFX", b"FORM"):
        _put(head, 4, size - 8, grammar.order)
        _put(head, start - 4, size - start, grammar.order)
    else:
        return samples._replace(n_behind=size - start)
    if mark == b"FORM":
        for name, at, _ in _chunks(file, grammar, grammar.first, start, whole=False):
            if name == b"COMM":
                n_channels, bits = (_number(head, at + i, 2) for i in (0, 6))
                n_bytes = max(1, n_channels * -(-bits // 8))
                _put(head, at + 2, (size - start - 8) // n_bytes, grammar.order)
    return samples._replace(stop=size, head=bytes(head))


def _look_behind(file, size, mark, samples):
    """What comes after the samples: other chunks, another recording, or neither."""
    grammar, position = _GRAMMARS.get(mark), samples.stop
    if grammar is not None:
        for name, start, length in _chunks(file, grammar, position, size):
            is_another = name.startswith(grammar.data) and length
            if is_another or name[:4] == mark:
                return samples._replace(second=start - grammar.head_bytes)
            position = start + length
    for at in range(position, position + 8):
        if read_at(file, at, 4) == mark:
            return samples._replace(second=at)
    while position < size:
        block = read_at(file, position, _STEP)
        if block.count(0) != len(block):
            return samples._replace(n_behind=size - position)
        position += _STEP
    return samples


def _find_in_au(file, size, mark):
    order = _AU[mark]
    start, length = (_number(read_at(file, at, 4), 0, 4, order) for at in (4, 8))
    if not 24 <= start <= size:
        return None
    samples = Samples(start, min(start + length, size), b"", False, False, 0, None)
    if length:
        return _look_behind(file, size, mark, samples)
    head = bytearray(read_at(file, 0, start))
    _put(head, 8, size - start, order)
    return samples._replace(stop=size, head=bytes(head))


def _chunks(file, grammar, position, size, *, whole=True):
    """Yield the name, first byte and length of each chunk from `position` on.

    Up to what is no chunk; with `whole`, up to one that does not end in the file.
    """
    while True:
        aligned = position + -position % grammar.align
        for at in (aligned, position):  # not all programs fill up odd chunks
            head = read_at(file, at, grammar.head_bytes)
            start, name = at + len(head), head[: grammar.id_bytes]
            length = _number(head, len(name), grammar.size_bytes, grammar.order)
            length -= grammar.head_bytes * grammar.counts_itself
            fits = start <= size and (not whole or start + length <= size + 1)
            if len(head) == grammar.head_bytes and _is_name(name) and fits:
                break
        else:
            return
        yield name, start, max(0, length)
        position = start + max(0, length)


def _is_name(name):
    text = all(0x20 <= byte < 0x7F for byte in name[:4])
    return text and name[4:] in (b"", _GUID_TAIL)


def _number(data, at, length, order="big"):
    return int.from_bytes(data[at : at + length], order)


def _put(head, at, number, order):
    """Write a number of 32 bits, or the largest even one there is."""
    head[at : at + 4] = min(number, 0xFFFFFFFE).to_bytes(4, order)
