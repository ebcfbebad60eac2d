"""Sequences to vectors of one size: the encoder as a step of a scikit-learn Pipeline.

The trap is the strand: half of a vector changes its sign on the other strand. So features are those
that both strands share, unless the sequences are read on their own strand (TSS, splice sites,
MPRA): then `strand = "forward"`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from orchid_genomics.errors import InputError
from orchid_genomics.model.batching import LONGEST, Strand, channels, pool_vectors
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import CODE, DNA


class OrchidFeatures(TransformerMixin, BaseEstimator):
    """Mean vectors of DNA sequences: (N, width / 2), the same on both strands, or (N, width).

    Nothing is learned: `fit` reads the model and checks the sequences. Vectors of a sequence depend
    on no other. Cost: one forward pass of each sequence.

    Parameters
    ----------
    model : str, Path or OrchidModel
        A model folder, or a model; of an ensemble the first network's encoder is read.
    pool : str
        "mean" over all letters, or "center", the middle one.
    strand : str
        "both" for what both strands share, or "forward" for the strand as given (see the module).
    device : str
        Such as "cpu" or "cuda".

    Examples
    --------
    >>> features = OrchidFeatures("runs/yeast/model")  # doctest: +SKIP
    >>> pipe = make_pipeline(features, LogisticRegression())  # doctest: +SKIP
    >>> pipe.fit(["ACGTTG", "TTGACA"], [1, 0]).predict(["ACGTTC"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | OrchidModel,
        pool: Literal["mean", "center"] = "mean",
        strand: Strand = "both",
        device: str = "cpu",
    ) -> None:
        self.model = model
        self.pool = pool
        self.strand = strand
        self.device = device

    def fit(self, X: Iterable[str], y: object = None) -> "OrchidFeatures":
        """Read the model. Raises InputError for sequences that are none, or a parameter that is not
        possible.
        """
        for name, possible in (("pool", ("mean", "center")), ("strand", ("both", "forward"))):
            if getattr(self, name) not in possible:
                raise InputError(
                    f"OrchidFeatures {name}", f"{getattr(self, name)!r}", " or ".join(possible)
                )
        encode_all(X)
        given = (
            self.model
            if isinstance(self.model, OrchidModel)
            else OrchidModel.from_pretrained(self.model)
        )
        self.encoder_ = given.only_encoder("OrchidFeatures model").to(self.device).eval()
        self.n_features_out_ = channels(self.encoder_, self.strand)
        return self

    def transform(self, X: Iterable[str]) -> np.ndarray:
        """Vectors (N, n_features_out_) float32 of sequences: texts of IUPAC letters, or tokens (L,)
        uint8.
        """
        check_is_fitted(self, "encoder_")
        return pool_vectors(self.encoder_, encode_all(X), self.pool, self.strand)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """orchid0, orchid1, ..."""
        check_is_fitted(self, "encoder_")
        return np.array([f"orchid{i}" for i in range(self.n_features_out_)], object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string, tags.requires_fit = False, True, True
        return tags


def encode_all(sequences: Iterable[str | bytes | np.ndarray]) -> list[np.ndarray]:
    """Tokens of sequences. Raises InputError with the number (from 1) of one that is empty, all N,
    too long, no DNA.
    """
    if isinstance(sequences, str | bytes):
        raise InputError("sequences", "one text", "a list of sequences")
    if getattr(sequences, "ndim", 1) == 2 and getattr(sequences, "dtype", None) != np.uint8:
        # As an array, for a data frame would be read as the names of its columns.
        table = np.asarray(sequences, object)
        if table.shape[1] != 1:
            raise InputError(
                "sequences", f"a table of {table.shape[1]} columns", "one column of sequences"
            )
        sequences = table[:, 0]
    rows = []
    for number, sequence in enumerate(sequences, 1):
        where = f"sequence {number:,}"
        if isinstance(sequence, np.ndarray) and sequence.dtype == np.uint8:
            tokens = sequence
        elif isinstance(sequence, str | bytes):
            tokens = DNA.encode(sequence, where)
        else:
            raise InputError(where, f"is a {type(sequence).__name__}", "text of IUPAC letters")
        if len(tokens) > LONGEST:
            raise InputError(where, f"has {len(tokens):,} letters", f"up to {LONGEST:,}")
        if not ((tokens & CODE) < DNA.count).any():
            raise InputError(
                where, "is all N" if len(tokens) else "is empty", "at least one of A, C, G and T"
            )
        rows.append(tokens)
    return rows
