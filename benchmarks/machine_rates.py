"""Limits of this machine: matrix products and copies in memory, per second.

The limits that the speed tables set their figures against. Products and copies use all
threads that torch has; both are the best of a few.
"""

import time

import torch

from userlogfeat.encoders import musicnn_fast

SQUARE = 4096  # rows and columns of the product
COPIED = 1 << 28  # bytes, far beyond the caches
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def timed(function, *arguments):
    """Seconds, and the result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def matrix_rate(precision):
    """Floating-point operations a second of the best square matrix product here."""
    a, b = torch.randn(2, SQUARE, SQUARE).to(DTYPES[precision])
    products = (torch.mm, musicnn_fast._product)
    return max(
        2 * SQUARE**3 / min(timed(product, a, b)[0] for _ in range(4))
        for product in products
    )


def memory_rate():
    """Bytes a second, read and written, of copies between two arrays."""
    source = torch.ones(COPIED, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * COPIED / min(timed(target.copy_, source)[0] for _ in range(6))
