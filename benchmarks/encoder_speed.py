"""Encoders of transformers: `EncoderEmbedder` against the loop of their model cards.

    python benchmarks/encoder_speed.py [--shared]

A model card's loop gives the model one clip at a time, with torch's own threads. On a
machine that other programs use ratios alone count: ``--shared``, with
``OMP_NUM_THREADS=1`` before the command, records them in a table apart. Models have
random weights (speed does not depend on them), and a small and the base size.
Both sides give a layer, or the mean of all, over all frames, and are compared. The last
column is the limit: products of the model a second of processor time, by those of the
fastest large product. Where the loop is near it, no order of work is twice as fast.
"""

import argparse
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from reporting import record
from torch import nn
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)
from transformers.utils import logging

from userlogfeat import EncoderEmbedder

RATE, SEED, ROUNDS, SQUARE = 16000, 0, 2, 2048
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SMALL = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}
MASKED = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
# Name, its model and extractor, and (length in s, how many clips, layer).
CASES = (
    (
        "HuBERT base, 95 M",
        lambda: (HubertModel(HubertConfig()), Wav2Vec2FeatureExtractor()),
        ((1.0, 4, "mean"), (5.0, 1, "mean"), (5.0, 4, "mean"), (5.0, 4, "layer_4")),
    ),
    (
        "HuBERT small",
        lambda: (HubertModel(HubertConfig(**SMALL)), Wav2Vec2FeatureExtractor()),
        ((1.0, 8, "mean"),),
    ),
    (
        "wav2vec 2.0 small, layer norms, lengths from 0.7 to 1.3 s",
        lambda: (
            Wav2Vec2Model(Wav2Vec2Config(**SMALL, **MASKED)),
            Wav2Vec2FeatureExtractor(return_attention_mask=True),
        ),
        ((1.0, 8, "mean"),),
    ),
    (
        "AST small, 1 s of spectrogram",
        lambda: (
            ASTModel(ASTConfig(**SMALL, max_length=104)),
            ASTFeatureExtractor(max_length=104),
        ),
        ((1.0, 8, "mean"),),
    ),
)


def make_clips(n, seconds, *, vary):
    rng = np.random.default_rng(SEED)
    share = rng.uniform(0.7, 1.3, n) if vary else np.ones(n)
    return [rng.normal(size=int(RATE * seconds * x)).astype("f4") / 9 for x in share]


def card_loop(folder, clips, layer):
    """A model, and clips through it as on its card: a layer, the mean of its frames."""
    model = AutoModel.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    ast = model.config.model_type.startswith("audio-spectrogram")

    def run():
        rows = []
        for clip in clips:
            inputs = extractor(clip, sampling_rate=RATE, return_tensors="pt")
            with torch.inference_mode():
                states = model(**inputs, output_hidden_states=True).hidden_states
            chosen = states if layer == "mean" else [states[int(layer.split("_")[1])]]
            frames = torch.stack(list(chosen))[:, 0, 2 if ast else 0 :]
            rows.append(frames.mean(dim=(0, 1)).numpy())
        return np.stack(rows)

    return model, run


def measure(runs):
    """Rates (1/s) by the clock and by processor time, side by side; rows of each."""
    rows = {name: run() for name, run in runs.items()}  # warm
    spent = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter(), time.process_time()
            run()
            end = time.perf_counter(), time.process_time()
            spent[name].append([b - a for a, b in zip(start, end, strict=True)])
    medians = {
        name: [median(values) for values in zip(*times, strict=True)]
        for name, times in spent.items()
    }
    return medians, rows


def count_operations(model, run):
    """Multiplications and additions of linear layers and convolutions."""
    counted = []

    def count(module, inputs, output):
        counted.append(2 * output.numel() * module.weight[0].numel())

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    modules = [module for module in model.modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(count) for module in modules]
    run()
    for hook in hooks:
        hook.remove()
    return sum(counted)


def product_rate(dtype):
    """Operations a second of processor time of a large product."""
    a, b = torch.randn(2, SQUARE, SQUARE).to(dtype)
    seconds = []
    for _ in range(6):
        start = time.process_time()
        torch.mm(a, b)
        seconds.append(time.process_time() - start)
    return 2 * SQUARE**3 / min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", action="store_true", help="others use the machine")
    shared = parser.parse_args().shared
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(SEED)
    table, limits = [], {name: product_rate(dtype) for name, dtype in DTYPES.items()}
    for name, make, inputs in CASES:
        with tempfile.TemporaryDirectory() as folder:
            for part in make():
                part.save_pretrained(Path(folder))
            for seconds, n_clips, layer in inputs:
                clips = make_clips(n_clips, seconds, vary="lengths" in name)
                model, loop = card_loop(folder, clips, layer)
                operations = count_operations(model, loop)
                runs = {"loop": loop}
                for precision in DTYPES:
                    embedder = EncoderEmbedder(
                        f"hf:{folder}", layer=layer, precision=precision, device="cpu"
                    )
                    runs[precision] = partial(embedder.transform, clips)
                medians, rows = measure(runs)
                (wall, cpu), loop = medians["loop"], rows["loop"]
                for precision, limit in limits.items():
                    spent = medians[precision][1]
                    pairs = ((cpu, limits["fp32"]), (spent, limit))
                    shares = [operations / (x * y) for x, y in pairs]
                    away = np.linalg.norm(rows[precision] - loop)
                    table.append(
                        [
                            name,
                            f"{n_clips} x {seconds:g}",
                            layer,
                            precision,
                            f"{n_clips / wall:.2f}",
                            f"{n_clips / medians[precision][0]:.2f}",
                            f"{wall / medians[precision][0]:.2f}",
                            f"{cpu / spent:.2f}",
                            f"{away / np.linalg.norm(loop):.1e}",
                            " -> ".join(f"{share:.0%}" for share in shares),
                        ]
                    )
                    print(table[-1], flush=True)
    kind = "with" if limits["bf16"] > limits["fp32"] else "without"
    record(
        f"encoder_speed/{kind}" + "/shared" * shared,
        f"Encoders against the loop of the model card, a processor {kind} bf16"
        + ", in use" * shared,
        [
            "model",
            "clips, s",
            "layer",
            "precision",
            "loop, clips/s",
            "EncoderEmbedder, clips/s",
            "speed-up",
            "by processor time",
            "difference",
            "share of the fastest product: loop -> ours",
        ],
        table,
        [
            f"Waveforms in memory, {ROUNDS} rounds side by side, medians, without GPU, "
            f"{torch.get_num_threads()} threads. The loop is fp32 with batch 1.",
            "The fastest product here, by processor time of a thread: "
            + ", ".join(f"{x / 1e9:.0f} GFLOP/s in {n}" for n, x in limits.items())
            + ". In fp32 twice the loop's speed is possible where its share is below "
            "one half.",
            "A pass ends with the layer that was asked for; operations are counted "
            "as if all of it ran.",
            "Weights are random: MERT is HuBERT's network, so its speed is that of "
            "HuBERT base.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
