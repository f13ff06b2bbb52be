"""The speed part of `shared_latent_hamel2013.py`: vectorised WARP against the loop."""

import time
from itertools import pairwise

import numpy as np
import torch
from machine_rates import matrix_rate
from reporting import record
from scipy import sparse

from userlogfeat.training.shared_maps import LabelledFrames, SharedMaps, fit_shared_maps

SEED = 0
N_FRAMES, N_BANDS, N_LABELS, N_COMPONENTS = 20000, 200, 160, 100
FRAMES_A_CLIP, TAGS_A_CLIP = 100, 4
BATCH, LR, MARGIN, MAX_NORM = 100, 0.03, 1.0, 1.0
N_EPOCHS = 3


def make_data():
    """Clips of several tags; each tag has a place among the bands."""
    rng = np.random.default_rng(SEED)
    n_clips = N_FRAMES // FRAMES_A_CLIP
    tags = rng.random((n_clips, N_LABELS)) < TAGS_A_CLIP / N_LABELS
    tags[np.arange(n_clips), rng.integers(N_LABELS, size=n_clips)] = True
    clips = np.repeat(np.arange(n_clips), FRAMES_A_CLIP)
    frames = (tags @ rng.normal(size=(N_LABELS, N_BANDS)))[clips] / 2
    frames += rng.normal(size=frames.shape)
    frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    return LabelledFrames(
        torch.from_numpy(frames.astype(np.float32)),
        torch.from_numpy(clips),
        sparse.csr_matrix(tags.astype(np.float32)),
    )


def make_maps():
    return SharedMaps(
        N_BANDS,
        N_COMPONENTS,
        [N_LABELS],
        max_norm=MAX_NORM,
        margin=MARGIN,
        generator=torch.Generator().manual_seed(SEED),
        device="cpu",
    )


def loop_epoch(V, W, frames, labels_of, rng):
    """An epoch as Wsabie writes it: frame by frame, draw by draw; the mean loss.

    Gradients of a batch are summed before the step. V (n_bands, D) and W (n_labels, D)
    are changed in place.
    """
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, len(W) + 1))])
    order, total = rng.permutation(len(frames)), 0.0
    for start in range(0, len(frames), BATCH):
        dV, dW = np.zeros_like(V), np.zeros_like(W)
        rows = order[start : start + BATCH]
        for row in rows:
            own = labels_of[row]
            y = own[rng.integers(len(own))]
            h = frames[row] @ V
            bound = W[y] @ h - MARGIN
            n_wrong = len(W) - len(own)
            for n_draws in range(1, n_wrong + 1):
                j = rng.integers(len(W))
                while j in own:
                    j = rng.integers(len(W))
                score = W[j] @ h
                if score > bound:
                    weight = harmonic[n_wrong // n_draws] / len(rows)
                    total += weight * len(rows) * (score - bound)
                    dV += weight * np.outer(frames[row], W[j] - W[y])
                    dW[y] -= weight * h
                    dW[j] += weight * h
                    break
        for matrix, step in ((V, dV), (W, dW)):
            matrix -= LR * step
            length = np.linalg.norm(matrix, axis=1, keepdims=True)
            matrix *= MAX_NORM / np.maximum(length, MAX_NORM)
    return total / len(frames)


def measure_speed():
    """Epoch by epoch, in one thread, the two in turn from the same first values."""
    data, threads = make_data(), torch.get_num_threads()
    torch.set_num_threads(1)
    maps, first = make_maps(), make_maps()
    V, W = first.features.numpy().copy(), first.labels[0].numpy().copy()
    pointers, columns = data.labels.indptr, data.labels.indices
    own = [columns[a:b].tolist() for a, b in pairwise(pointers)]
    labels_of = [own[clip] for clip in data.clips.tolist()]
    nothing = LabelledFrames(data.frames[:0], data.clips[:0], data.labels)
    frames, rng, rows = data.frames.numpy(), np.random.default_rng(SEED), []
    total, peak = np.zeros(2), matrix_rate("fp32")
    for epoch in range(N_EPOCHS):
        start = time.perf_counter()
        history = fit_shared_maps(
            [data], [nothing], maps, max_epochs=1, patience=1, batch_size=BATCH, lr=LR
        )
        ours = time.perf_counter() - start
        start = time.perf_counter()
        loss = loop_epoch(V, W, frames, labels_of, rng)
        loop = time.perf_counter() - start
        losses = [f"{loss:.3f}", f"{history[0]['train_loss']:.3f}"]
        rows.append(
            [epoch + 1, f"{loop:.2f}", f"{ours:.3f}", f"{loop / ours:.0f}x", *losses]
        )
        total += loop, ours
    loop, ours = total
    rows.append(["all", f"{loop:.2f}", f"{ours:.3f}", f"{loop / ours:.0f}x", "", ""])
    torch.set_num_threads(threads)
    # Frames through V, its gradient, and affinities of all labels.
    operations = 2 * N_FRAMES * N_COMPONENTS * (2 * N_BANDS + N_LABELS)
    rate = N_EPOCHS * operations / ours
    record(
        "shared_latent_hamel2013/speed",
        f"WARP: an epoch of {N_FRAMES} frames x {N_BANDS} bands x {N_LABELS} labels",
        [
            "epoch",
            "loop, s",
            "vectorised, s",
            "faster",
            "loss, loop",
            "loss, vectorised",
        ],
        rows,
        [
            "One thread each, in turn. The loop is Wsabie's, in NumPy: one frame and "
            "one draw at a time, until a label violates the margin. It takes longer "
            "the better the maps are (at first almost every draw violates the margin); "
            "the vectorised form does not. Both learn alike.",
            f"Its products of matrices come to {rate / 1e9:.1f} GFLOP/s, "
            f"{rate / peak:.0%} of the {peak / 1e9:.0f} of the fastest square product "
            "in fp32 in one thread.",
        ],
        seed=SEED,
    )
