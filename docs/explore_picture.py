"""Photograph the explorer's page for the guide, on planted features.

    python docs/explore_picture.py

Writes ``docs/images/explore.png``. Needs selenium, chromium and chromium-driver.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from selenium import webdriver

from userlogfeat import FeatureTable, explore, read_catalogue

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("folk", "jazz", "punk", "soul", "techno")
N_CLIPS, N_ARTISTS = 400, 60
SIZE = (1200, 760)  # pixels


def planted_page(folder):
    """Write a page of clips whose labels are five clouds that overlap."""
    rng = np.random.default_rng(0)
    centres = 1.2 * rng.normal(size=(len(LABELS), 32))
    artists = rng.integers(N_ARTISTS, size=N_CLIPS)
    of_artist = centres[np.arange(N_ARTISTS) % len(LABELS)]
    of_artist = of_artist + 0.5 * rng.normal(size=of_artist.shape)
    rows = of_artist[artists] + rng.normal(size=(N_CLIPS, 32))
    names = [f"clip_{i:03d}.flac" for i in range(N_CLIPS)]
    table = FeatureTable(folder / "features")
    with table.writer(fingerprint="planted", layer_sizes={"embedding": 32}) as writer:
        for name, row in zip(names, rows, strict=True):
            writer.add(name, layers={"embedding": row})
    frame = pl.DataFrame(
        {
            "clip": names,
            "item": names,
            "artist": [f"Artist {a}" for a in artists],
            "label": [LABELS[a % len(LABELS)] for a in artists],
        }
    )
    catalogue = read_catalogue(frame, check_files=False)
    path = folder / "page.html"
    explore(table, path, catalogue=catalogue, audio="none", title="Planted clips")
    return path


def main():
    """Write the picture."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "google-chrome"
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        width, height = SIZE
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": False,
            },
        )
        with tempfile.TemporaryDirectory() as folder:
            browser.get(planted_page(Path(folder)).as_uri())
            browser.execute_script("choose(7)")
            time.sleep(1)
            browser.save_screenshot(str(ROOT / "docs" / "images" / "explore.png"))
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
