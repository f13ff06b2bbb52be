"""Users who ask to be forgotten: removed from logs, factors, towers and audio models.

Removed are a user's rows: plays in logs, the factor or embedding, and what an audio
model (``MetricEmbedder``) stores of its users. Factors of items and weights of networks
are made of all users together, hold no row of anybody, and stay: train again where they
must not have learned from that user either. Checkpoints of trainings that were stopped
are not searched: delete them.

A file is replaced as one, so a kill leaves the old file or the new one. The same call
again does what is missing.
"""

import os
from codecs import BOM_UTF8
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from userlogfeat._files import replace_file
from userlogfeat._parquet import as_file, parquet_writer
from userlogfeat._stamps import sha256
from userlogfeat._text_lines import COMPRESSED, open_bytes
from userlogfeat._text_tables import TextTable, separator_of, suffix_of, whole_numbers
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.factor_files import (
    DIGEST,
    PLAYS,
    USERS,
    read_plays,
    read_side,
    write_plays,
    write_side,
)
from userlogfeat.logs.columns import is_string
from userlogfeat.logs.sources import PARQUET, TEXT_OF_FOLDERS
from userlogfeat.weights.config import CONFIG, sealed
from userlogfeat.weights.config import read_config as read_model_config

BELOW = "users"  # in the folder of an audio model
MODEL_USERS = "users.safetensors"  # what an audio model stores of its users
_BLOCK = 1 << 20  # bytes read at a time


def forget_users(path: PathLike, user_ids: ArrayLike, *, user: str = "user") -> int:
    """Remove users from a file or folder.

    Parameters
    ----------
    path : str or Path
        A log (csv, tsv, perhaps compressed, or Parquet; or a folder of such files), or
        any other table with a column of users, such as demographics and
        recommendations; or a folder that `userlogfeat fit-cf`, `fit-users` or
        `fit-metric` wrote.
    user_ids : array-like
        Compared as text, so 7 and "7" are one. Text files are read by the rules of
        :func:`userlogfeat.read_logs`.
    user : str
        The logs' column of users.

    Returns
    -------
    int
        Number of rows that were removed: plays of logs, users of models.

    Raises
    ------
    FileNotFoundError
        Where there is no such path.
    ValueError
        Where it holds neither logs nor users, lacks the column, or is a text with lines
        that could be read in more than one way.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> path = tempfile.mkdtemp() + "/plays.parquet"
    >>> plays = pl.DataFrame({"user": ["ann", "bob", "ann"], "item": [1, 1, 2]})
    >>> plays.write_parquet(path)
    >>> forget_users(path, ["ann"])
    2
    >>> pl.read_parquet(path).rows()
    [('bob', 1)]
    """
    path = Path(path)
    if isinstance(user_ids, str | bytes):
        raise TypeError(f"Got the single user {user_ids!r}, expected a list of them.")
    gone = {str(value) for value in np.asarray(user_ids).tolist()}
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    if not path.is_dir():
        return _forget_in_file(path, gone, user)
    if (path / BELOW / USERS).exists():
        return _forget_in_model(path, gone)
    if (path / USERS).exists():
        return _forget_in_factors(path, gone)
    kinds = PARQUET | TEXT_OF_FOLDERS
    files = [file for file in sorted(path.rglob("*")) if suffix_of(file) in kinds]
    if not files:
        raise ValueError(
            f"{path} holds neither users of a model ({USERS}) nor files of logs "
            "(Parquet, csv, tsv). Pass the files themselves."
        )
    return sum(_forget_in_file(file, gone, user) for file in files)


def _forget_in_file(path, gone, user):
    if path.suffix.lower() in PARQUET:
        return _forget_in_parquet(path, gone, user)
    if separator_of(path) is None:
        raise ValueError(
            f"{path} cannot be rewritten: expected .csv, .tsv, .txt (perhaps "
            "compressed) or .parquet."
        )
    is_gone = _gone_rows(path, gone, user)
    removed = int(np.count_nonzero(is_gone))
    if removed:
        # A line is a row; the first one that is not blank names the columns.
        fates = chain([False], is_gone)
        codec = COMPRESSED.get(path.suffix.lower())
        with replace_file(path) as temporary, _written(temporary, codec) as out:
            for line in _lines_of(path):
                is_blank = not line.removeprefix(BOM_UTF8).strip(b"\r\n")
                if is_blank or not next(fates):
                    out.write(line)
    return removed


def _gone_rows(path, gone, user):
    """Whether each row of a text file is of such a user, by the rules of read_logs."""
    table = TextTable(path)
    _place_of(user, table.names, path)
    as_text, as_numbers, all_whole = [np.zeros(0, bool)], [np.zeros(0, bool)], True
    for block in table.read([user]):
        texts = pc.utf8_trim_whitespace(block[user].combine_chunks())
        numbers = whole_numbers(texts)
        all_whole &= texts.type != numbers.type or texts.null_count == len(texts)
        as_text.append(_is_gone(texts, gone))
        as_numbers.append(_is_gone(numbers, gone))
    return np.concatenate(as_numbers if all_whole else as_text)


def _lines_of(path):
    """Yield lines with their ends, which may be LF, CRLF and CR."""
    with open_bytes(path) as file:
        carry = b""
        while block := file.read(_BLOCK):
            *lines, carry = (carry + block).splitlines(keepends=True)
            yield from lines
        yield carry


def _written(path, codec):
    """Open a file for writing, compressed where there is a codec."""
    file = pa.OSFile(os.fsencode(path), "wb")
    return file if codec is None else pa.CompressedOutputStream(file, codec)


def _place_of(user, names, path):
    if user not in names:
        raise ValueError(
            f"Found no column {user!r} in {path}. Its columns: "
            f"{', '.join(map(repr, names))}. Name that of the users: user=..."
        )
    return names.index(user)


def _forget_in_parquet(path, gone, user):
    """Rewrite a Parquet file, a row group at a time, where it has such rows."""
    with pq.ParquetFile(as_file(path)) as file:
        _place_of(user, file.schema_arrow.names, path)
        groups = range(file.num_row_groups)
        masks = [_is_gone(file.read_row_group(g, [user])[user], gone) for g in groups]
        removed = sum(int(mask.sum()) for mask in masks)
        if not removed:
            return 0
        with (
            replace_file(path) as temporary,
            parquet_writer(temporary, file.schema_arrow) as writer,
        ):
            for group, mask in zip(groups, masks, strict=True):
                rows = file.read_row_group(group)
                writer.write_table(rows.filter(pa.array(~mask)))
    return removed


def _is_gone(column, gone):
    if not is_string(column):  # 7 is 7.0
        gone = {text.removesuffix(".0") for text in gone}
    texts = column.cast(pa.large_string())
    values = pa.array(sorted(gone), pa.large_string())
    found = pc.is_in(texts, value_set=values)
    return found.to_numpy(zero_copy_only=False).astype(bool)


def _forget_in_factors(folder, gone):
    """Rewrite the users of factors or a tower; their training stays noted."""
    ids, matrix, made_by = read_side(folder, USERS)
    kept = ~_is_gone(pa.array(ids.tolist()), gone)
    plays, users = read_plays(folder), (USERS, ids[kept], matrix[kept])
    if kept.all():
        return 0
    if plays is None:
        (folder / PLAYS).unlink(missing_ok=True)
        write_side(folder, *users, made_by=made_by)
        return int(np.count_nonzero(~kept))
    # Both are written, then the old plays go, and the users are in place first: after a
    # kill, rows of the one are not of the other.
    with replace_file(folder / PLAYS) as new, replace_file(folder / USERS) as new_users:
        write_plays(new.parent, plays[kept], made_by[DIGEST])
        write_side(new_users.parent, *users, made_by=made_by)
        (folder / PLAYS).unlink()
    return int(np.count_nonzero(~kept))


def _forget_in_model(folder, gone):
    """Rewrite the users of an audio model, those in its own file first."""
    from safetensors.numpy import load_file, save_file

    ids, _, made_by = read_side(folder / BELOW, USERS)
    kept = ~_is_gone(pa.array(ids.tolist()), gone)
    path = folder / MODEL_USERS
    if path.is_file() and not kept.all():
        stored = load_file(path)
        users, drawn = stored["users"], stored["drawn_users"]
        # Learned beside the network: only those who were drawn have an id.
        is_lookup = made_by.get("class") == "MetricEmbedder"
        rows = drawn if is_lookup else np.arange(len(ids))
        if len(rows) == len(ids) and (is_lookup or len(users) == len(ids)):
            stay = np.ones(len(users), bool)
            stay[rows[~kept]] = False
            place = np.cumsum(stay) - 1
            drawn = place[drawn[stay[drawn]]].astype(drawn.dtype)
            tensors = {"users": users[stay], "drawn_users": drawn}
            with replace_file(path) as temporary:
                save_file(tensors, temporary)
        _note_users(folder, sha256(path))
    return _forget_in_factors(folder / BELOW, gone)


def _note_users(folder, digest):
    """Note the SHA-256 of the users in the model's config."""
    config = read_model_config(folder)
    config["fitted"] = config["fitted"] | {"users_sha256": digest}
    with replace_file(folder / CONFIG) as temporary:
        temporary.write_text(sealed(config), encoding="utf-8", newline="\n")
