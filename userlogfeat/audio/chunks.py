"""Find the samples of wav, aiff, au, w64 and caf files, and what is behind them.

Programs that write to a pipe cannot know how much will follow: their headers promise 0
bytes, or a number that stands for "unknown". The decoder reads nothing of the first,
and silently leaves out a file behind another, and sound behind the promised number of
bytes. So the chunks are walked through here. No sample is read.
"""

import re
from dataclasses import replace
from typing import Literal, NamedTuple

from userlogfeat.audio import mp3
from userlogfeat.audio.errors import damaged, several
from userlogfeat.audio.source import Layout, Source

_MPEG = (0x50, 0x55)  # format tags of wav: layers I and II, and III
_GUID_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of most chunks of w64
_UNKNOWN_BYTES = 0x7FFF0000  # sizes from here on stand for "unknown" in short files


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
_BEFORE = {b"FORM": 8, b"caff": 4}  # bytes of the chunk that are not samples yet


def find_layout(source: Source) -> Layout | None:
    """Find the samples of a file that begins with one of `MARKS`.

    Returns
    -------
    Layout or None
        None where it has none, or its chunks cannot be followed up to them.

    Raises
    ------
    AudioError
        Where another recording follows, or MPEG frames inside are not all there.
    """
    mark = source.read(0, 4)
    if mark in _AU:
        return _find_in_au(source, _AU[mark])
    grammar, is_mpeg, n_long = _GRAMMARS[mark], False, None
    for name, start, length in _chunks(source, grammar, grammar.first, whole=False):
        if name == b"fmt ":
            is_mpeg = int.from_bytes(source.read(start, 2), grammar.order) in _MPEG
        elif name == b"ds64":
            n_long = int.from_bytes(source.read(start + 8, 8), grammar.order)
        elif name.startswith(grammar.data):
            if n_long is not None and length == 0xFFFFFFFF:
                length = n_long
            is_open = mark == b"caff" and length >> 63
            if length <= _BEFORE.get(mark, 0) or is_open:
                return _without_size(source, mark, start)
            layout = _look_behind(source, mark, start, min(start + length, source.size))
            is_cut = source.size + 1 < start + length < start + _UNKNOWN_BYTES
            return _mpeg(source, start, layout, is_cut) if is_mpeg else layout
    return None


def _mpeg(source, start, layout, is_cut):
    """The layout of MPEG frames within a chunk."""
    if is_cut:
        raise damaged(source.name, "its header promises more bytes than it holds")
    frames = mp3.find_layout(source, start, layout.pieces[0][1])
    if frames is None:
        raise damaged(source.name, "its header promises MPEG frames, but it has none")
    return replace(frames, as_it_is=False)


def _without_size(source, mark, start):
    """The layout of samples of which the header promises none."""
    grammar, size = _GRAMMARS[mark], source.size
    stop = start + _BEFORE.get(mark, 0)
    if stop >= size or next(_chunks(source, grammar, stop), None) is not None:
        return Layout(((start, stop),))  # there are none
    head = bytearray(source.read(0, start))
    if mark == b"caff":
        head[-8:] = (size - start).to_bytes(8, "big")
    elif mark in (b"RIFF", b"RIFX", b"FORM"):
        _put(head, 4, size - 8, grammar.order)
        _put(head, start - 4, size - start, grammar.order)
    else:
        return Layout(((start, stop),), n_behind=size - start)
    if mark == b"FORM":
        for name, at, _ in _chunks(source, grammar, grammar.first, whole=False):
            if name == b"COMM":
                n_channels, bits = (_number(head, at + i, 2) for i in (0, 6))
                n_bytes = max(1, n_channels * -(-bits // 8))
                _put(head, at + 2, (size - start - 8) // n_bytes, grammar.order)
    return Layout(((start, size),), as_it_is=False, head=bytes(head))


def _look_behind(source, mark, start, stop):
    """The layout of samples, by what comes after them: chunks, a recording, neither."""
    grammar, position = _GRAMMARS.get(mark), stop
    if grammar is not None:
        for name, at, length in _chunks(source, grammar, position):
            is_another = name.startswith(grammar.data) and length
            if is_another or name[:4] == mark:
                raise several(source.name, at - grammar.head_bytes)
            position = at + length
    for at in range(position, position + 8):
        if source.read(at, 4) == mark:
            raise several(source.name, at)
    other = next(source.find(re.compile(rb"[^\0]"), position, 1), None)
    n_behind = 0 if other is None else source.size - position
    if mark == b"riff" and stop < source.size:
        # Of w64 the decoder reads on to the end of the file.
        return Layout(((0, stop),), as_it_is=False, n_behind=n_behind)
    return Layout(((start, stop),), n_behind=n_behind)


def _find_in_au(source, order):
    start, length = (_number(source.read(at, 4), 0, 4, order) for at in (4, 8))
    if not 24 <= start <= source.size:
        return None
    if length:
        stop = min(start + length, source.size)
        return _look_behind(source, source.read(0, 4), start, stop)
    head = bytearray(source.read(0, start))
    _put(head, 8, source.size - start, order)
    return Layout(((start, source.size),), as_it_is=False, head=bytes(head))


def _chunks(source, grammar, position, *, whole=True):
    """Yield the name, first byte and length of each chunk from `position` on.

    Up to what is not a chunk; with `whole`, up to one that does not end in the file.
    """
    while True:
        aligned = position + -position % grammar.align
        for at in (aligned, position):  # not all programs fill up odd chunks
            head = source.read(at, grammar.head_bytes)
            start, name = at + len(head), head[: grammar.id_bytes]
            length = _number(head, len(name), grammar.size_bytes, grammar.order)
            length -= grammar.head_bytes * grammar.counts_itself
            fits = start <= source.size and (
                not whole or start + length <= source.size + 1
            )
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
