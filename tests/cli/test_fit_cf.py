"""`userlogfeat fit-cf`: two tastes that never meet."""

import numpy as np
import polars as pl

from userlogfeat import cli
from userlogfeat.factor_files import read_factors


def test_fit_cf(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Two tastes that never meet: half of the people play tracks 0-9, half 10-19.
    rng = np.random.default_rng(0)
    plays = [(u, 10 * (u % 2) + i) for u in range(40) for i in rng.choice(10, 6, False)]
    pl.DataFrame(plays, ["who", "track"], orient="row").write_csv("plays.csv")
    columns = ("--user", "who", "--item", "track")
    result = run("fit-cf", "plays.csv", "-o", "f", *columns, "--factors", 2)
    assert "-> 2 factors each, in f" in result.stdout
    factors = read_factors("f")
    assert factors.item_ids.tolist() == list(range(20))
    assert factors.user_factors.shape == (40, 2)
    scores = factors.user_factors @ factors.item_factors.T
    own = (np.arange(40)[:, None] % 2) == (np.arange(20) >= 10)
    assert scores[own].min() > scores[~own].max()
    run("fit-cf", "plays.csv", "-o", "f2", *columns, "--factors", 2)
    np.testing.assert_array_equal(read_factors("f2").item_factors, factors.item_factors)
    run("fit-cf", "plays.csv", "-o", "f", *columns, code=cli.USAGE)
    run("fit-cf", "plays.csv", "-o", "f", *columns, "--overwrite", "--factors", 3)
    assert read_factors("f").n_factors == 3
    text = run("info", "f").stdout
    assert "users" in text
    assert "alpha           40.0\n" in text
