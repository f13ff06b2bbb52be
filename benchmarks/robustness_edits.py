"""Damage to the bytes of a file: flips, cuts, inserts, header fields, joins.

An edit is ``(name, place, value)``: what is done, where (0 to 1 of the length; of the
first or last bytes for "head" and "tail"), and with which bytes or number. Edits are
plain, so that a random generator, hypothesis and a fuzzer can all make them.
"""

import struct

HEAD, TAIL = 128, 512  # bytes where most formats keep their fields
NUMBERS = (0, 1, -1, 2, 127, 255, 1000, 65535, 2**31 - 1, -(2**31), 10**9, 2**32 - 1)
# What formats store numbers as, at either end.
FIELDS = tuple(
    struct.pack(code, number & (1 << 8 * struct.calcsize(code)) - 1)
    for code in ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")
    for number in NUMBERS
)
TOKENS = (
    *(b"\n", b"\r", b"\r\n", b"\t", b",", b'"', b"'", b"\0", b" ", b";", b"\\"),
    *(b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc3\xa9", b"\xed\xa0\x80", b"\xe2\x80"),
    *(b"nan", b"inf", b"-1", b"1e999", b"1e400", b"0x10", b"007", b"9" * 30, b"None"),
    # Of tables: Spark's escape, an opening quote, names and a line end once more.
    *(
        b'\\"',
        b',"x',
        b'\t"x',
        b"\nuser,item,plays\n",
        b"\nclip,item,artist\n",
        b"\r\r",
    ),
    *(b"[" * 2000, b"{", b"}", b"null", b"true", b"../", b"/etc/passwd", b"a" * 70000),
)
# Of a seed's own bytes ("cut", "repeat", "zero"), or of values to write.
LENGTHS = (1, 2, 3, 4, 8, 17, 64, 512, 4096, 50_000)
WITH_LENGTH = ("cut", "repeat", "zero")
WITH_BYTES = ("set", "insert", "head", "tail")
NAMES = ("flip", *WITH_LENGTH, *WITH_BYTES, "truncate", "join", "double")


def damage(data, edits, others=(b"",)):
    """Bytes after some edits.

    Parameters
    ----------
    data : bytes
    edits : list of (str, float, int or bytes)
    others : sequence of bytes
        Contents that "join" may add.

    Examples
    --------
    >>> damage(b"abcdef", [("cut", 0.5, 2), ("insert", 0.0, b"X")])
    b'Xabcf'
    """
    data = bytearray(data)
    for name, place, value in edits:
        at = min(len(data), int(place * len(data)))
        if name == "head":
            at = min(len(data), int(place * HEAD))
        elif name == "tail":
            at = max(0, len(data) - 1 - int(place * TAIL))
        if name == "flip" and data:
            at = min(at, len(data) - 1)
            data[at] ^= value % 255 + 1
        elif name in ("set", "head", "tail"):
            data[at : at + len(value)] = value
        elif name == "insert":
            data[at:at] = value
        elif name == "cut":
            del data[at : at + value]
        elif name == "repeat":
            data[at:at] = data[at : at + value]
        elif name == "zero":
            data[at : at + value] = bytes(len(data[at : at + value]))
        elif name == "truncate":
            del data[at:]
        elif name == "join":
            data += others[value % len(others)]
        elif name == "double":
            data *= 2
    return bytes(data)


def draw_edits(rng, *, tokens=True):
    """One to six random edits, mostly one or two.

    Parameters
    ----------
    rng : numpy.random.Generator
    tokens : bool
        Whether text formats are damaged: their own signs count as fields.
    """
    n_edits = min(6, int(rng.geometric(0.5)))
    return [draw_edit(rng, tokens=tokens) for _ in range(n_edits)]


def draw_edit(rng, *, tokens=True):
    """One random edit."""
    name, place = str(rng.choice(NAMES)), float(rng.random())
    if name in WITH_LENGTH:
        return name, place, int(rng.choice(LENGTHS))
    if name in WITH_BYTES:
        choices = FIELDS + TOKENS if tokens else FIELDS
        if rng.random() < 0.3:
            return name, place, rng.bytes(int(rng.integers(1, 9)))
        return name, place, choices[rng.integers(len(choices))]
    return name, place, int(rng.integers(1 << 16))


def edits_of(data, *, tokens=True):
    """Edits that a fuzzer's bytes stand for: three to eleven bytes each."""
    edits, position = [], 0
    while position + 4 <= len(data) and len(edits) < 6:
        code, high, low, value = data[position : position + 4]
        name, place = NAMES[code % len(NAMES)], (high << 8 | low) / 65536
        position += 4
        if name in WITH_LENGTH:
            edits.append((name, place, LENGTHS[value % len(LENGTHS)]))
        elif name in WITH_BYTES and value < 128:
            choices = FIELDS + TOKENS if tokens else FIELDS
            edits.append((name, place, choices[value % len(choices)]))
        elif name in WITH_BYTES:
            n_bytes = 1 + value % 7
            edits.append((name, place, data[position : position + n_bytes]))
            position += n_bytes
        else:
            edits.append((name, place, value))
    return edits
