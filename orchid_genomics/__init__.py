"""Long-sequence DNA models: genome in, trained Orchid encoder and scores out."""

import os

# Read once, when torch loads its OpenMP. A thread that waits spins for a millisecond by itself;
# where other programs run, thousands of short calls then wait for cores that are spun on, and a
# pass takes up to a hundred times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
