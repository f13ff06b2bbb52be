"""Find out whether a file that FFmpeg reads was cut off, by its own parts.

Its readers stop at the end of a file silently, and estimate a length from what is
there. But AVI and Matroska files say how many bytes their parts have, packets of a
transport stream are of one length, and frames of MPEG audio and AC-3 give theirs. A
stream of frames or packets that ends between two of them looks like a whole one.

AC-3 is described in ETSI TS 102 366, tables 4.13 and E.1.2; Matroska in RFC 8794.
"""

from userlogfeat.audio.mp3 import frame_length
from userlogfeat.audio.source import Source

_EBML = b"\x1a\x45\xdf\xa3"
_PACKETS = ((188, 0), (192, 4))  # bytes of a transport packet, those before its mark
_PACKET_MARK = 0x47
_PADDING = 8  # bytes by which writers of RIFF miscount
_MAX_RIFF = 0xFFFF0000  # sizes from here on, and 0, are those of a stream
_AC3_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448)
_AC3_KBIT += (512, 576, 640)
_AC3_RATES = (48000, 44100, 32000)  # Hz
_AC3_SAMPLES = 1536
_LAST_AC3 = 10  # greater numbers of the syntax are E-AC-3


def n_missing(source: Source) -> int:
    """Return how many bytes its parts promise beyond a file's end; 0 where unknown."""
    head = source.read(0, 3 * _PACKETS[-1][0])
    if head.startswith(b"RIFF"):
        return _missing_riff(source)
    if head.startswith(_EBML):
        return _missing_ebml(source)
    for length, before in _PACKETS:
        if set(head[before::length]) == {_PACKET_MARK} and len(head) > length:
            return -source.size % length
    return 0


def n_cut(codec: str, packet: memoryview) -> int:
    """Return how many bytes the frame at a packet's start promises beyond its end.

    Parameters
    ----------
    codec : str
        FFmpeg's name of the decoder.
    packet : memoryview of bytes

    Returns
    -------
    int
        0 where the codec's frames do not give their length.
    """
    length = None
    if codec.startswith(("mp1", "mp2", "mp3")) and len(packet) > 3:
        if packet[0] == 0xFF and packet[1] >= 0xE0:
            length = frame_length(packet[1], packet[2])
    elif codec.startswith(("ac3", "eac3")) and len(packet) > 5:
        length = _ac3_length(packet)
    return max(0, (length or 0) - len(packet))


def _missing_riff(source):
    position, missing = 0, 0
    while source.read(position, 4) == b"RIFF":  # large AVI files have several
        size = int.from_bytes(source.read(position + 4, 4), "little")
        if not 0 < size < _MAX_RIFF:
            break
        position += 8 + size + size % 2
        missing = position - source.size
    return missing if missing > _PADDING else 0


def _missing_ebml(source):
    """Follow elements; those without a size are looked into, the others passed."""
    position = 0
    while position < source.size:
        head = source.read(position, 12)
        n_id = _n_bytes(head[0])
        n_size = _n_bytes(head[n_id]) if n_id < len(head) else 1
        if n_id > 4 or n_size > 8:
            return 0
        stop = position + n_id + n_size
        if n_id + n_size <= len(head):
            bits = 7 * n_size
            size = int.from_bytes(head[n_id : n_id + n_size], "big") & (1 << bits) - 1
            stop += 0 if size == (1 << bits) - 1 else size
        position = stop
    return position - source.size


def _n_bytes(first):
    """Bytes of a number, by the zeros that its first begins with."""
    return 9 - first.bit_length()


def _ac3_length(frame):
    if frame[0] != 0x0B or frame[1] != 0x77:
        return None
    if frame[5] >> 3 > _LAST_AC3:
        return 2 * ((frame[2] & 7) << 8 | frame[3]) + 2
    rate, code = frame[4] >> 6, frame[4] & 63
    if rate >= len(_AC3_RATES) or code // 2 >= len(_AC3_KBIT):
        return None
    bits = _AC3_KBIT[code // 2] * 1000 * _AC3_SAMPLES
    odd = code % 2 if _AC3_RATES[rate] == 44100 else 0
    return 2 * (bits // (16 * _AC3_RATES[rate]) + odd)
