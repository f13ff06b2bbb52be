"""A fit whose second process stops answering, or ends: lost.py stall|end.

The program has initialised torch.distributed itself, with a timeout of its own.
"""

import datetime
import os
import sys
import time

import numpy as np
import torch

from userlogfeat import KDStudentRegressor
from userlogfeat.training import loop

RNG = np.random.default_rng(0)


def main(how):
    group = torch.distributed
    group.init_process_group("gloo", timeout=datetime.timedelta(seconds=300))
    group.barrier()  # both are there: from now on nothing takes long
    if how == "stall":
        group.distributed_c10d._set_pg_timeout(datetime.timedelta(seconds=6))
    average, calls = loop.average_gradients, []

    def leave(*args):
        calls.append(1)
        if group.get_rank() == 1 and len(calls) == 3:
            if how == "end":
                os._exit(9)
            time.sleep(300)
        return average(*args)

    loop.average_gradients = leave
    try:
        KDStudentRegressor(network="mlp", batch_size=8, random_state=0).fit(
            RNG.normal(size=(41, 7)), RNG.normal(size=41)
        )
    except ConnectionError as error:
        print(error, flush=True)
        os._exit(3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
