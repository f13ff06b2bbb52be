"""Speed of the network of Lee et al. 2019 in training and inference.

The plain loop is the obvious one: torch's layers one after the other, in float32
and torch's default memory layout, and log-mel spectrograms computed from the waveforms
in every epoch. Ours is ``CFRegressor(network="se_cnn").fit``.

    .venv/bin/python benchmarks/training_speed.py [--quick]

``--quick`` runs one short round, prints the table and records nothing.
"""

import argparse
import time
from statistics import median

import reporting
import torch
from machine_rates import matrix_rate
from torch import nn

from userlogfeat import CFRegressor
from userlogfeat.frontends import FRONTENDS
from userlogfeat.losses import mse_cosine
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.se_cnn import PAPER_POOLS, SECNN

CHANNELS = (32, 64, 128)
PRECISIONS = ("fp32", "bf16")
SEED = 0
BATCH = 32  # clips, the default of CFRegressor
N_CLIPS = 72  # of which CFRegressor validates on a ninth
EPOCHS = 4
ROUNDS = 3
N_FACTORS = 40
LR = 1e-3
SHAPE = (96, 1280)  # bands and frames of a clip of 30 s


class PlainBlock(nn.Module):
    """Twice batch norm, ReLU and convolution, then squeeze-excitation."""

    def __init__(self, n_inputs, channels):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n_inputs)
        self.conv1 = nn.Conv2d(n_inputs, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.excitation = nn.Module()
        self.excitation.squeeze = nn.Linear(channels, channels // 8)
        self.excitation.expand = nn.Linear(channels // 8, channels)

    def forward(self, x):
        """Maps (B, channels, F, T) of (B, n_inputs, F, T)."""
        x = self.conv1(self.norm1(x).relu())
        x = self.conv2(self.norm2(x).relu())
        factors = self.excitation.squeeze(x.mean((2, 3))).relu()
        return x * self.excitation.expand(factors).sigmoid()[:, :, None, None]


class PlainNetwork(nn.Module):
    """The network in torch's layers, with the names of `SECNN`."""

    def __init__(self, channels):
        super().__init__()
        self.blocks = nn.ModuleDict(
            {
                f"block{i}": PlainBlock(1 if i == 1 else channels, channels)
                for i in range(1, len(PAPER_POOLS) + 2)
            }
        )
        self.pools = nn.ModuleList(nn.MaxPool2d(pool) for pool in PAPER_POOLS)
        self.embedding = nn.Linear(channels, N_FACTORS)

    def forward(self, x):
        """Embeddings (B, 40) of log-mel spectrograms (B, F, T)."""
        x = x[:, None]
        *blocks, last = self.blocks.values()
        for block, pool in zip(blocks, self.pools, strict=True):
            x = pool(block(x))
        return self.embedding(last(x).mean((2, 3)))


def operations(channels):
    """Multiplications and additions of the convolutions for one clip, forward."""
    (bands, frames), total, n_inputs = SHAPE, 0, 1
    for pool in (*PAPER_POOLS, (1, 1)):
        total += 2 * 9 * bands * frames * (n_inputs * channels + channels**2)
        bands, frames, n_inputs = bands // pool[0], frames // pool[1], channels
    return total


def seconds(function, *arguments, device="cpu"):
    start = time.perf_counter()
    function(*arguments)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def train_step(network, optimizer, read, factors, precision, device="cpu"):
    """Take one step of Adam on the clips that `read` returns."""
    optimizer.zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        estimates = network(read())
    mse_cosine(estimates.float(), factors).mean().backward()
    optimizer.step()


def infer(network, log_mels, precision, device="cpu"):
    network.eval()
    with (
        torch.inference_mode(),
        torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
    ):
        network(log_mels)


def fit(log_mels, factors, channels, precision, n_epochs):
    """A fit without early stopping."""
    CFRegressor(
        network="se_cnn",
        channels=channels,
        precision=precision,
        max_epochs=n_epochs,
        patience=n_epochs,
        batch_size=BATCH,
        lr=LR,
        validation_fraction=1 / 9,
        device="cpu",
        random_state=SEED,
    ).fit(log_mels.numpy(), factors.numpy())


def fit_rate(log_mels, factors, channels, precision, n_epochs):
    """Clips a second that a fit learns from, over the whole of it."""
    taken = seconds(fit, log_mels, factors, channels, precision, n_epochs)
    return n_epochs * (len(log_mels) - round(len(log_mels) / 9)) / taken


def plain_rates(waveforms, log_mels, factors, channels):
    """Clips a second of the plain loop, training and inference."""
    network = PlainNetwork(channels)
    to_log_mel = LogMelSpectrogram(FRONTENDS["lee2019"])
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    arguments = network, optimizer, lambda: to_log_mel(waveforms), factors, "fp32"
    training = len(waveforms) / seconds(train_step, *arguments)
    return training, len(waveforms) / seconds(infer, network, log_mels, "fp32")


def inference_rate(log_mels, channels, precision):
    network = SECNN(channels=channels)
    return len(log_mels) / seconds(infer, network, log_mels, precision)


def distances(log_mels, channels):
    """Relative difference of SECNN from the plain network, by precision."""
    network, plain = SECNN(channels=channels).eval(), PlainNetwork(channels).eval()
    plain.load_state_dict(network.state_dict())
    found = {}
    with torch.inference_mode():
        expected = plain(log_mels)
        for precision in PRECISIONS:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                away = network(log_mels).float() - expected
            found[precision] = (away.norm() / expected.norm()).item()
    return found


def measure(n_clips, batch, n_epochs, n_rounds):
    """Clips a second by (channels, what), differences, operations a second."""
    generator = torch.Generator().manual_seed(SEED)
    waveforms = 0.1 * torch.randn(batch, 480_000, generator=generator)
    own = LogMelSpectrogram(FRONTENDS["lee2019"])(waveforms)
    log_mels = own[torch.arange(n_clips) % batch]
    factors = torch.randn(n_clips, N_FACTORS, generator=generator)
    rates, away, machine = {}, {}, dict.fromkeys(PRECISIONS, 0.0)

    def keep(channels, what, rate):
        rates.setdefault((channels, what), []).append(rate)

    for channels in CHANNELS:
        away[channels] = distances(own[:4], channels)  # also a warm-up
        for _ in range(n_rounds):
            plain = plain_rates(waveforms, own, factors[:batch], channels)
            keep(channels, "plain training", plain[0])
            keep(channels, "plain inference", plain[1])
            for precision in PRECISIONS:
                rate = fit_rate(log_mels, factors, channels, precision, n_epochs)
                keep(channels, f"{precision} training", rate)
                rate = inference_rate(own, channels, precision)
                keep(channels, f"{precision} inference", rate)
                machine[precision] = max(machine[precision], matrix_rate(precision))
    return {what: median(values) for what, values in rates.items()}, away, machine


def measure_gpu(batch, n_steps=20):
    """Clips a second on a GPU, steps on log-mel that is there: rows of the table."""
    log_mels = torch.randn(batch, *SHAPE, device="cuda")
    factors = torch.randn(batch, N_FACTORS, device="cuda")
    rows = []
    for channels in CHANNELS:
        for precision in PRECISIONS:
            for compiled in (False, True):
                network = SECNN(channels=channels).cuda()
                optimizer = torch.optim.Adam(network.parameters(), lr=LR)
                called = torch.compile(network) if compiled else network
                step = called, optimizer, lambda: log_mels, factors, precision, "cuda"
                read = called, log_mels, precision, "cuda"
                rates = []
                for function, arguments in ((train_step, step), (infer, read)):
                    for _ in range(3):  # warm up
                        seconds(function, *arguments, device="cuda")
                    taken = [
                        seconds(function, *arguments, device="cuda")
                        for _ in range(n_steps)
                    ]
                    rates.append(f"{batch / median(taken):.0f}")
                what = f"{precision}, GPU{', compiled' if compiled else ''}"
                rows.append([channels, what, rates[0], "-", "-", rates[1], "-", "-"])
    return rows


def table(rates, machine):
    """Rows of the CPU: clips a second, times the plain loop, share of the machine."""
    rows = []
    for channels in CHANNELS:
        for what in ("plain", *PRECISIONS):
            row = [channels, "plain loop, fp32" if what == "plain" else what]
            for kind, passes in (("training", 3), ("inference", 1)):
                rate = rates[channels, f"{what} {kind}"]
                peak = machine["fp32" if what == "plain" else what]
                share = passes * operations(channels) * rate / peak
                ratio = rate / rates[channels, f"plain {kind}"]
                row += [f"{rate:.3g}", f"{ratio:.1f}", f"{share:.0%}"]
            rows.append(row)
    return rows


COLUMNS = [
    "channels",
    "what",
    "clips/s, training",
    "x plain loop",
    "of the machine",
    "clips/s, inference",
    "x plain network",
    "of the machine",
]


def notes(away, machine, batch, n_epochs):
    flops = ", ".join(f"{operations(c) / 1e9:.1f} ({c})" for c in CHANNELS)
    differ = ", ".join(
        f"{precision} {max(found[precision] for found in away.values()):.0e}"
        for precision in PRECISIONS
    )
    peaks = ", ".join(f"{p} {rate / 1e9:.0f}" for p, rate in machine.items())
    return [
        f"Noise of 30 s a clip, batches of {batch}. Training: {n_epochs} epochs of "
        "CFRegressor(network='se_cnn').fit on log-mel spectrograms, the whole of it: "
        "steps of Adam, validation on a ninth of the clips in every epoch, and one "
        "pass at the end that measures the layers. The plain loop computes log-mel in "
        "every step, and does only steps. Inference: the network alone. Medians of "
        "rounds in which all take turns.",
        "Share of the machine: the convolutions of a clip take 2 * 9 * sum over blocks "
        f"of F T (C_in C + C^2) operations, in GFLOP (channels): {flops}; training "
        "counts three times that. What is computed again backward is not counted. It "
        "is set against the fastest 4096 x 4096 product of any round, in GFLOP/s: "
        f"{peaks}. Products in the cache can be faster than that one.",
        "Largest relative difference of the embedding from the plain network: "
        f"{differ}.",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    n_clips, batch, n_epochs = (9, 4, 2) if quick else (N_CLIPS, BATCH, EPOCHS)
    torch.manual_seed(SEED)
    rates, away, machine = measure(n_clips, batch, n_epochs, 1 if quick else ROUNDS)
    rows = table(rates, machine)
    if torch.cuda.is_available():
        rows += measure_gpu(BATCH)
    remarks = notes(away, machine, batch, n_epochs)
    if quick:
        for row in [COLUMNS, *rows, *([remark] for remark in remarks)]:
            print(*row, sep=" | ")
        return
    title = "The squeeze-excitation network: clips of 30 s a second"
    reporting.record("training_speed", title, COLUMNS, rows, remarks, seed=SEED)


if __name__ == "__main__":
    main()
