r"""Tables in text files: one reader, with one set of rules, for whatever has rows.

Logs, histories, catalogues, demographics and tables of published sets are read by it.

Lines
    A line is a row. The first one that is not blank names the columns; other blank
    lines are left out. No field goes on in the next line, except in published tables
    that are known to have such fields (``line_breaks=True``: the break becomes a
    blank). Each row has as many fields as the first line.
Quotes
    A field that begins with ``"`` ends with the next ``"`` that is not doubled, and
    the separator or the line's end must follow. Further within a field ``"`` is a sign
    like any other. So are all quotes of a tab-separated file (``"Weird Al" Yankovic``),
    unless its first line begins with one. Backslashes escape nothing.
Names and values
    Blanks around names are dropped. A column without name, such as the row numbers that
    pandas writes, is not read. Empty text, and ``\N``, is a missing value. Fields stay
    text until their meaning is known: "007" is not 7.

Lines that break a rule were cut, joined or written by other rules, and could be read in
more than one way: they are refused, with their numbers, counted from 1.
"""

import codecs
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from userlogfeat._text_lines import (
    COMPRESSED,
    NUL_ADVICE,
    LineBlocks,
    shown,
    unreadable,
)
from userlogfeat._typing import PathLike

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t", ".dat": "\t"}
_NO_VALUE = ["", r"\N"]  # the second is MySQL's
_OTHER_SEPARATORS = ";\t,|"
_AHEAD = 2  # blocks that are parsed beside each other
_SHOWN_LINES = 3  # in an error message
_LATIN = "Convert the file: iconv -f latin1 -t utf-8 OLD > NEW"
_WHOLE = r"^(0|-?[1-9][0-9]*)(\.0)?$"
# A field of a tab-separated file that is quoted as in csv, its own quotes doubled.
_QUOTED_AS_CSV = re.compile(r'(?:^|\t)"(?:[^"\t]|"")*""(?:[^"\t]|"")*"(?:\t|$)')


class TextTable:
    """A text file whose first line was read; its rows come in blocks.

    Parameters
    ----------
    path : str or Path
    separator : str, optional
        By default "," for .csv, a tab for .tsv, .tab, .txt and .dat.
    columns : list of str, optional
        The names, where the file has no line of them.
    header_lines : int
        Number of lines that name the columns: "set/split" has "set" in the first and
        "split" in the second.
    line_breaks : bool
        Whether fields in quotes may go on in the next line.
    quoted : bool, optional
        Whether quotes go around fields. By default they do unless the separator is a
        tab and the first line does not begin with one.
    max_bytes : int, optional
        Maximum length of the file, uncompressed.

    Attributes
    ----------
    names : list of str
        Names of the columns.

    Raises
    ------
    ValueError
        Where the file cannot be read.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        separator: str | None = None,
        columns: list[str] | None = None,
        header_lines: int = 1,
        line_breaks: bool = False,
        quoted: bool | None = None,
        max_bytes: float = float("inf"),
    ) -> None:
        self.path = Path(path)
        self.separator = separator or separator_of(self.path)
        if len(self.separator.encode()) != 1 or self.separator in '"\r\n':
            raise ValueError(
                f"Got separator={separator!r}, expected one ASCII sign such as ';'."
            )
        self._lines = LineBlocks(self.path, max_bytes=max_bytes)
        self._blocks = _joined(self._lines) if line_breaks else iter(self._lines)
        lines, rest = self._first_lines(header_lines)
        number, line = lines[0]
        if quoted is None:
            quoted = self.separator != "\t" or line.startswith(b'"')
        self.quoted = quoted
        header = [self._header_fields(*numbered) for numbered in lines]
        self._header = None if columns else line
        if columns:
            if header[0] == list(columns):
                self._refuse(
                    f"begins with {', '.join(columns)}, the names that were given for "
                    "a file without such a line. Leave out columns="
                )
            self.names, rest = list(columns), line + b"\n" + rest
        else:
            self.names = [_joined_name(parts) for parts in zip_longest(*header)]
            number = lines[-1][0] + 1
        self._rest = (number, rest)

    def read(self, used: list[str]) -> Iterator[pa.Table]:
        """Yield some columns as Arrow tables of text, null where a value is missing.

        Parameters
        ----------
        used : list of str
            Names, each once.

        Raises
        ------
        ValueError
            Where there are two columns of a name, or lines break a rule.
        """
        for name in used:
            if self.names.count(name) > 1:
                self._refuse(
                    f"has {self.names.count(name)} columns that are called {name!r}: "
                    "rename all but one"
                )
        settings = self._settings([self.names.index(name) for name in used])
        with ThreadPoolExecutor(_AHEAD) as pool:
            pending = deque()
            for number, block in self._all_blocks():
                pending.append(pool.submit(self._parse, block, number, settings))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result().rename_columns(used)
            while pending:
                yield pending.popleft().result().rename_columns(used)

    def read_all(self, used: list[str]) -> pa.Table:
        """Return some columns of all rows at once, as :meth:`read` yields them."""
        blocks = list(self.read(used))
        if blocks:
            return pa.concat_tables(blocks)
        return pa.table({name: pa.array([], pa.large_string()) for name in used})

    def _first_lines(self, count):
        """Return the first lines that are not blank, with numbers, and the rest."""
        lines = []
        for number, rest in self._blocks:
            while rest and len(lines) < count:
                line, _, rest = rest.partition(b"\n")
                lines += [(number, line)] if line else []
                number += 1
            if len(lines) == count:
                return lines, rest
        if not lines:
            self._refuse("is empty, expected a first line with the names of columns")
        self._refuse(f"ends after {len(lines)} of {count} lines that name its columns")

    def _header_fields(self, number, line):
        fields, fault = self._read_line(line)
        if fault:
            self._refuse(f"has a line {number}, {shown(line)}, {fault}")
        return fields

    def _all_blocks(self):
        if self._rest[1]:
            yield self._rest
        yield from self._blocks

    def _settings(self, places):
        """Settings for Arrow's reader: the columns are called by their places."""
        used = [str(place) for place in places]
        return {
            "read_options": arrow_csv.ReadOptions(
                column_names=[str(place) for place in range(len(self.names))],
                block_size=1 << 30,  # one, whatever it holds
                use_threads=False,
            ),
            "parse_options": arrow_csv.ParseOptions(
                delimiter=self.separator, quote_char='"' if self.quoted else False
            ),
            "convert_options": arrow_csv.ConvertOptions(
                include_columns=used,
                column_types=dict.fromkeys(used, pa.large_string()),
                null_values=_NO_VALUE,
                strings_can_be_null=True,
            ),
        }

    def _parse(self, block, number, settings):
        """Parse a block, whose first line has this number."""
        odd = self._odd_lines(block)
        if odd is not None:
            self._refuse_faults(block, number, odd)
        try:
            table = arrow_csv.read_csv(pa.BufferReader(block), **settings)
        except pa.ArrowException as error:
            self._refuse_faults(block, number)
            self._refuse(f"has something wrong from line {number} on: {error}")
        n_lines = block.count(b"\n")
        if table.num_rows != n_lines:
            n_lines -= sum(not line for line in block[:-1].split(b"\n"))
        if table.num_rows != n_lines:
            self._refuse_faults(block, number)
            self._refuse(
                f"has {n_lines} lines from line {number} on that were parsed to "
                f"{table.num_rows} rows"
            )
        return table

    def _odd_lines(self, block):
        """Find lines that may break a rule which Arrow does not check; None if none."""
        suspects = []
        if self.quoted and b'"' in block:
            suspects.append(_odd_quotes(block, self.separator))
        if not self.quoted and b'""' in block:
            suspects.append(_lines_with(block, b'""'))
        if b"\0" in block:
            suspects.append(_lines_with(block, b"\0"))
        if self._header is not None:
            repeated = b"\n" + self._header + b"\n"
            marked = codecs.BOM_UTF8 + repeated[1:]
            if repeated in block or marked in block or block.startswith(repeated[1:]):
                suspects.append(_lines_with(block, self._header))
        suspects = [lines for lines in suspects if len(lines)]
        return np.unique(np.concatenate(suspects)) if suspects else None

    def _refuse_faults(self, block, number, places=None):
        """Raise a ValueError that describes the lines which break a rule, if any do.

        Only those at `places`, from 0, are looked at, where these are given.
        """
        lines = block[:-1].split(b"\n")
        faults = {}
        for place in range(len(lines)) if places is None else places:
            fault = self._fault(lines[place], number + place) if lines[place] else None
            if fault:
                faults.setdefault(fault, []).append((number + place, lines[place]))
        for fault, found in faults.items():
            listed = ", ".join(
                f"{n} ({shown(line)})" for n, line in found[:_SHOWN_LINES]
            )
            more = ", ..." if len(found) > _SHOWN_LINES else ""
            noun = "line" if len(found) == 1 else "lines"
            self._refuse(f"has {noun} {listed}{more} {fault}")

    def _read_line(self, line):
        """Split a line into fields; or describe its fault, as the end of a sentence."""
        if b"\0" in line:
            return None, f"with NUL bytes. {NUL_ADVICE}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return None, f"that is no UTF-8. {_LATIN}"
        fields = self._fields(text)
        if fields is None:
            return None, f"whose quotes do not match. {_advise_on_quotes(text)}"
        return fields, None

    def _fault(self, line, number):
        """Describe the fault of a line with advice, or return None."""
        if line.removeprefix(codecs.BOM_UTF8) == self._header:
            return (
                "that is the first line once more. Were files joined? Keep one such "
                "line, at the top"
            )
        fields, fault = self._read_line(line)
        if fault:
            return fault
        if len(fields) != len(self.names):
            return self._wrong_number(
                len(fields), is_cut=number == self._lines.cut_line
            )
        if not self.quoted and _QUOTED_AS_CSV.search(line.decode("utf-8")):
            return (
                "with fields that are quoted as in csv, while the first line has no "
                "quotes. Write it as csv, or without quoting"
            )
        return None

    def _wrong_number(self, n_fields, *, is_cut):
        noun = "field" if n_fields == 1 else "fields"
        fact = (
            f"with {n_fields} {noun}, expected {len(self.names)} as in the first line"
        )
        if n_fields > len(self.names):
            advice = "put such a field in quotes" if self.quoted else "write it as csv"
            return f"{fact}. If the separator is part of a value, {advice}"
        if is_cut:
            return f"{fact}, and without a line end. Was the file cut? Get it whole"
        return f"{fact}. Where a value is missing, its separator must be there"

    def _fields(self, line):
        """Split a line into fields; None where its quotes break the rules."""
        if not self.quoted or '"' not in line:
            return line.split(self.separator)
        # Not by csv, which refuses fields of more than 131072 characters.
        other = re.escape(self.separator)
        field = re.compile(rf'"[^"]*(?:""[^"]*)*"|[^"{other}][^{other}]*|')
        fields, place = [], 0
        while True:
            found = field.match(line, place)
            text, place = found[0], found.end()
            fields.append(text[1:-1].replace('""', '"') if text[:1] == '"' else text)
            if place == len(line):
                return fields
            if line[place] != self.separator:
                return None
            place += 1

    def _refuse(self, reason):
        raise unreadable(self.path, reason)


def read_text(
    path: PathLike,
    *,
    separator: str | None = None,
    columns: list[str] | None = None,
    max_bytes: float = float("inf"),
) -> pa.Table:
    """Read a complete text file: all columns that have a name, as text.

    Parameters
    ----------
    path, separator, columns, max_bytes
        As in :class:`TextTable`.

    Returns
    -------
    pyarrow.Table
        Columns of large_string, null where a value is missing.

    Raises
    ------
    ValueError
        As in :class:`TextTable`.
    """
    table = TextTable(path, separator=separator, columns=columns, max_bytes=max_bytes)
    return table.read_all(list(dict.fromkeys(name for name in table.names if name)))


def separator_hint(names: list[str]) -> str:
    """Advise on a missing column where the file may have another separator.

    Parameters
    ----------
    names : list of str
        The columns that were found.

    Returns
    -------
    str
        "" where that cannot be the reason.
    """
    others = [sign for sign in _OTHER_SEPARATORS if sign in "".join(names)]
    if len(names) > 1 or not others:
        return ""
    return (
        f" Is the file separated by {others[0]!r}? Commas are expected in .csv, tabs "
        "in .tsv and .txt."
    )


def whole_numbers(column: pa.Array) -> pa.Array:
    """Turn identifiers into int64 where nothing is lost; else return them unchanged.

    Parameters
    ----------
    column : pyarrow.Array of text
        Without blanks around values, null where a value is missing.

    Returns
    -------
    pyarrow.Array
        Numbers where all values are whole ones without sign or leading zeros: "007" is
        a name. Numbers of a column with gaps, which pandas writes as "7.0", are 7.
    """
    known = column.drop_null()
    if not len(known) or not pc.all(pc.match_substring_regex(known, _WHOLE)).as_py():
        return column
    try:
        return pc.replace_substring(column, ".0", "").cast(pa.int64())
    except pa.ArrowInvalid:  # more than 64 bits
        return column


def separator_of(path: Path) -> str | None:
    """Return the separator for the suffix of a file; None if it is not a text file's.

    Parameters
    ----------
    path : Path
    """
    return SEPARATORS.get(suffix_of(path))


def suffix_of(path: Path) -> str:
    """Return the suffix that determines the format: ".csv" for plays.csv.gz."""
    is_compressed = path.suffix.lower() in COMPRESSED
    return (Path(path.stem) if is_compressed else path).suffix.lower()


def _joined_name(parts):
    """Join the names of a column from the lines that name it."""
    return "/".join(part.strip() for part in parts if part and part.strip())


def _joined(blocks):
    """Put rows that go on in next lines on one line; blank lines keep the numbers.

    A row is complete where its quotes are even in number. By a stray quote two rows
    become one that has too many fields, or quotes that do not match: it is refused.
    """
    held, first = [], 1  # the lines of a row that is not complete, and its number
    for _, block in blocks:
        rows, n_held = [], len(held)
        for line in block[:-1].split(b"\n"):
            held.append(line)
            if (len(held) > 1) == line.count(b'"') % 2:
                rows.append(b" ".join(held) + b"\n" * len(held))
                held = []
        if rows:
            yield first, b"".join(rows)
            first += n_held + block.count(b"\n") - len(held)
    if held:
        yield first, b" ".join(held) + b"\n" * len(held)


def _odd_quotes(block, separator):
    """Find lines, from 0, with quotes neither around fields nor doubled in them."""
    signs = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(signs == ord('"'))
    lines = np.searchsorted(np.flatnonzero(signs == ord("\n")), quotes)
    starts_line = np.diff(lines, prepend=-1) > 0
    first = np.maximum.accumulate(np.where(starts_line, np.arange(len(quotes)), 0))
    opens = (np.arange(len(quotes)) - first) % 2 == 0
    is_outer = np.zeros(256, bool)  # what may stand beside a quote that opens or closes
    is_outer[[ord(separator), ord("\n"), ord('"')]] = True
    before = np.where(quotes == 0, ord("\n"), signs[quotes - 1])
    fine = is_outer[np.where(opens, before, signs[quotes + 1])]  # LF ends the block
    fine &= ~(opens & np.append(starts_line[1:], True))  # the last of a line closes
    return np.unique(lines[~fine])


def _lines_with(block, text):
    """Find lines, from 0, that hold a text."""
    lines = block[:-1].split(b"\n")
    return np.array([place for place, line in enumerate(lines) if text in line], int)


def _advise_on_quotes(text):
    if "\\" in text:
        return (
            "Backslashes escape nothing here: a quote in quotes is doubled. Of Spark, "
            "write with option('escape', '\"'), or write Parquet"
        )
    return (
        "Quotes around a field close on its line, before the separator; a quote in "
        'quotes is doubled ("12"" mix"). A field that begins with a quote needs them, '
        "and one with line breaks Parquet or a frame"
    )
