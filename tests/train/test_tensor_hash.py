"""The hash on the device is the hash of the host, bit for bit."""

import numpy as np
import torch

from orchid_genomics.sequence.hashing import hash_integers
from orchid_genomics.train.tensor_hash import below, fraction, hash_tensors


def test_the_hash_is_the_one_that_draws_windows():
    parts = (0, 7, np.arange(-5, 3000)[None], np.array([1 << 40, -1, 12])[:, None])
    tensors = [part if isinstance(part, int) else torch.from_numpy(part) for part in parts]
    ours, theirs = hash_tensors(*tensors), hash_integers(*parts)
    assert np.array_equal(ours.numpy().view(np.uint64), theirs)
    share = (theirs >> np.uint64(40)).astype(np.float32) / (1 << 24)
    assert np.array_equal(fraction(ours).numpy(), share)
    assert set(below(ours, 3).unique().tolist()) == {0, 1, 2}
