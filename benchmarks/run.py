"""Measure every figure again, one script after the other; make README.md of them.

    python benchmarks/run.py [--original PYTHON] [--only NAME ...]

`--original` is the interpreter of an environment with the original musicnn: see
`musicnn_speed.py`, which says how to make one; without it that row is left out.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from reporting import HERE

# Timings first, while the processor is cool and nothing else was read.
SCRIPTS = (
    "musicnn_speed",
    "extraction_speed",
    "als_speed",
    "als_defaults",
    "als_updates",
    "threads",
    "training_speed",
    "gpu",
    "encoder_speed",
    "first_features",
    "gallery_speed",
    "onnx_runtime",
    "user_tower_speed",
    "sampler_speed",
    "logs_reader",
    "logs_many_files",
    "spark_extraction",
    "spark_partitions",
    "year_of_a_service",
    "lastfm2k_weights",
    "lastfm_mpd_weights",
    "shared_listeners",
    "user_scores",
    "semi_cold_start",
    "search_speed",
    "encoder_transfer",
    "genre_esc10_gtzan",
    "transfer_rule",
    "transfer_teacher",
    "teacher_head",
    "transfer_defaults",
    "control_strength",
    "transfer_lee2019",
    "genre_park2017",
    "recommendation_chen2021",
    "genre_chen2021",
    "mirex_submission",
    "transfer_svm",
    "shared_latent_hamel2013",
    "mutation",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", type=Path, help="interpreter of that environment")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS)
    arguments = parser.parse_args()
    failed = []
    for script in arguments.only:
        command = [sys.executable, str(HERE / f"{script}.py")]
        if script == "musicnn_speed" and arguments.original:
            command += ["--original", str(arguments.original)]
        print(f"== {script}", flush=True)
        if subprocess.run(command).returncode:
            failed.append(script)
    if failed:
        sys.exit(
            f"failed: {', '.join(failed)}. The others are in benchmarks/README.md."
        )


if __name__ == "__main__":
    main()
