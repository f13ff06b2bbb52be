"""Messages speak of options, not of Python."""

import re
from pathlib import Path

import pytest

from userlogfeat import cli
from userlogfeat.cli.wording import in_options

OPTIONS = {
    "user": "--user",
    "item": "--item",
    "time": "--time",
    "liked": "--liked",
    "disliked": "--disliked",
    "max_epochs": "--epochs",
    "lr": "--set lr=",
    "min_users_per_item": "--min-users-per-item",
    "overwrite": "--overwrite",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Found no column 'x' (user=).", "Found no column 'x' (--user)."),
        ("as in user='userID'.", "as in --user userID."),
        ("Got item='a b', or item=...", "Got --item 'a b', or --item"),
        ("Remove them, or leave time= out.", "Remove them, or leave --time out."),
        ("through liked=, disliked=.", "through --liked, --disliked."),
        ("min_users_per_item=5 leaves none.", "--min-users-per-item 5 leaves none."),
        ("Got max_epochs=0.", "Got --epochs 0."),
        ("Pass lr=0.1, or more.", "Pass --set lr=0.1, or more."),
        ("Got user=('a', 'b').", "Got --user ('a', 'b')."),
        ("Pass overwrite=True.", "Pass --overwrite."),
        # What a command has no option for is no advice.
        ("No suffix. Pass separator=... if it is text.", "No suffix."),
        (
            "Correct the paths. (Python: check_files=False keeps ids.)",
            "Correct the paths.",
        ),
        # What only looks like a keyword stays.
        ("There is no plays/user=5/a.parquet.", "There is no plays/user=5/a.parquet."),
        ("Got --user 'a=b'.", "Got --user 'a=b'."),
    ],
)
def test_in_options(text, expected):
    assert in_options(text, OPTIONS) == expected


def test_columns_of_catalogues_have_options_of_their_own():
    options = {"item": "--item", "catalogue_item": "--catalogue-item"}
    text = "Got item='x', but the catalogue has 'clip'. Pass item=... one of them."
    assert in_options(text, options).startswith("Got --catalogue-item x, but")
    assert in_options("Found no column 'x' (item=).", options).endswith("(--item).")


LOGS = "user,track,plays,at\nann,a,1,3\nbob,b,-1,nan\n"
TRACKS = "clip,artist\nclips/0.wav,x\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("fit-cf logs.csv -o f", "Found no column 'item' (--item)"),
        ("fit-cf logs.csv -o f --item track --count plays", "Counts are numbers of pl"),
        ("fit-users logs.csv -o f --item track --count plays", "through --liked, --di"),
        ("fit-cf logs.csv -o f --item track --format x", "Got --format x, expected"),
        ("fit-cf logs.csv -o f --item track --min-users-per-item 9", "--min-users-per"),
        ("fit-users logs.csv -o f --item track --time at", "leave --time out"),
        ("fit-users logs.csv -o f --user who --item track", "(--user)"),
        ("fit-metric tracks.csv logs.csv -o f", "Got --catalogue-item item, but"),
        ("fit-artists tracks.csv -o f", "Got --item item, but the catalogue"),
        ("fit-cf logs.xyz -o f", "does not say how it is laid out"),
    ],
)
def test_no_keyword_comes_through(run, clips, arguments, expected):
    Path("logs.csv").write_text(LOGS)
    Path("logs.xyz").write_text(LOGS)
    Path("tracks.csv").write_text(TRACKS)
    message = run(*arguments.split(), code=cli.USAGE).stderr
    assert expected in message
    assert not re.search(r"\b[a-z_]+=", message)
