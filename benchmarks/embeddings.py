"""What vectors of elements are worth: a logistic regression on them, beside one on 5-mers of the
same rows.

Run by ``python benchmarks/embeddings.py SET.tsv.gz NAME=FILE.h5 ...`` where SET has the columns of
`dataset` and every FILE holds the vectors of its rows in their order, as `embed` writes them. The
strength of the regression is chosen on validation, the test rows are read once; intervals by
bootstrap over test rows. ``--random MODEL OUT`` writes the model folder OUT: MODEL with random
weights, to be embedded as the third in the table.
"""

import argparse
import sys

import numpy as np
import torch
from measure import table
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orchid_genomics.data.embeddings import Embeddings
from orchid_genomics.data.labelled.parsing import split_set
from orchid_genomics.data.labelled.tables import TableRecipe, read_table
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import CODE, DNA

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
ROUNDS = 1000


def randomised(model: str, out: str) -> None:
    """The same shape, freshly drawn."""
    given = OrchidModel.from_pretrained(model)
    torch.manual_seed(0)
    OrchidModel(given.recipe).save_pretrained(
        out, {"report": given.provenance.plain("report") or {}}
    )


def thin(split: np.ndarray, share: float) -> np.ndarray:
    """The split with a share of its training rows; the others belong to none."""
    order = np.random.default_rng(0).permutation(np.flatnonzero(split == 0))
    kept = split.copy()
    kept[order[round(share * len(order)) :]] = -1
    return kept


def scores(X: np.ndarray, y: np.ndarray, split: np.ndarray) -> list:
    """Width, strength chosen, AUROC and MCC of the test rows with 95 % intervals."""
    fitted = {}
    for C in STRENGTHS:
        pipe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=5000)).fit(
            X[split == 0], y[split == 0]
        )
        fitted[C] = roc_auc_score(y[split == 1], pipe.decision_function(X[split == 1])), pipe
    best = max(fitted, key=lambda C: fitted[C][0])
    said, true = fitted[best][1].decision_function(X[split == 2]), y[split == 2]
    rng, rows = np.random.default_rng(0), [X.shape[1], f"{best:g}"]
    drawn = [rng.integers(0, len(true), len(true)) for _ in range(ROUNDS)]
    for score in (
        lambda i: roc_auc_score(true[i], said[i]),
        lambda i: matthews_corrcoef(true[i], said[i] > 0),
    ):
        low, high = np.percentile([score(i) for i in drawn], [2.5, 97.5])
        rows.append(f"{score(np.arange(len(true))):.3f} ({low:.3f}-{high:.3f})")
    return rows


def main() -> None:
    if "--random" in sys.argv:
        randomised(*sys.argv[sys.argv.index("--random") + 1 :])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set")
    parser.add_argument("embedded", nargs="+", metavar="NAME=FILE.h5")
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0])
    given = parser.parse_args()
    recipe = TableRecipe(path=given.set)
    data = split_set(read_table(recipe), recipe)
    text = [DNA.decode(tokens & CODE) for tokens in data.tokens]
    kmers = (
        CountVectorizer(analyzer="char", ngram_range=(5, 5), lowercase=False)
        .fit_transform(text)
        .toarray()
    )
    features = {"5-mers": kmers.astype(float)}
    for name, path in (word.split("=", 1) for word in given.embedded):
        with Embeddings(path) as found:
            if len(found) != len(data) or found.about["pool"] != "mean":
                raise SystemExit(f"{path}: not one mean vector for each of the {len(data):,} rows")
            features[name] = found.matrix().astype(float)
    rows = []
    for share in given.shares:
        split = thin(data.split, share)
        for name, X in features.items():
            rows.append([(split == 0).sum(), name, *scores(X, data.target, split)])
    print(
        f"{data.name}: {[len(data.rows(split)) for split in ('train', 'validation', 'test')]} rows"
    )
    print(table(["training rows", "features", "number", "C", "AUROC", "MCC"], rows))


if __name__ == "__main__":
    main()
