"""`userlogfeat explore`."""

import polars as pl
from typer.testing import CliRunner

from userlogfeat.cli import USAGE, app


def run(*arguments):
    return CliRunner().invoke(app, ["explore", *map(str, arguments)])


def test_a_page_is_written_with_a_catalogue_of_any_columns(planted_clips, tmp_path):
    _, names, table, catalogue = planted_clips
    frame = pl.DataFrame(
        {
            "file": names,
            "genre": catalogue.labels,
            "who": catalogue.artists,
            "part": ["train", "test"] * 12,
        }
    )
    frame.write_csv(tmp_path / "tracks.csv")
    page = tmp_path / "page.html"
    columns = ["--clip", "file", "--label", "genre", "--artist", "who"]
    done = run(
        table.folder,
        *["-o", page, "--catalogue", tmp_path / "tracks.csv", *columns],
        *["--split", "part", "--colour", "part", "--map", "pca", "--layer", "mean"],
    )
    assert done.exit_code == 0, done.output
    assert done.output.startswith("24 clips, 0.0")
    assert done.output.endswith(f"MB, in {page}\n")
    html = page.read_text()
    assert '"label":["folk","jazz","punk"' in html
    assert '["audio",0,21,"train/test: distance 0.000"]' in html
    assert '"copy"' not in html.split('"pairs"')[1].split("nPairs")[0]  # once is enough
    assert '"colours":{"part":["train","test"' in html
    again = run(table.folder, "-o", page)
    assert again.exit_code == USAGE
    assert "exists. Pass another name, or --overwrite" in again.output


def test_wrong_use_is_explained(planted_clips, tmp_path):
    done = run(planted_clips[2].folder)
    assert done.exit_code == USAGE
    assert "Got neither, or both, of --output PAGE and --serve" in done.output
    done = run(tmp_path / "no", "-o", tmp_path / "p.html")
    assert done.exit_code == USAGE
    assert "expected a feature table, the cache" in done.output
