"""Long-sequence DNA models: genome in, trained Orchid encoder and scores out."""

__version__ = "0.1.0"
