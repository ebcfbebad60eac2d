"""Does the model know a bound TATA box from the same eight letters elsewhere? What `tata.md`
reports.

    python recipes/yeast/tata.py MODEL TATA.bed TSS.bed -o tata

Bound: sites of TATA.bed (BED6; Rhee & Pugh 2012) on the model's test chromosomes. Unbound: every
other TATAWAWR on the same strand as a gene, 1 to 200 letters before a transcript's start (TSS.bed:
BED6, the 5' end is the start), in a promoter without any site of TATA.bed on either strand. Both
outside coding sequence and outside what recurs in the training chromosomes. They are compared
within strata: the same word, and the same 25 letters of distance to the start. Writes tata.tsv (a
line a site, 0-based half-open), tata.txt (the tables) and tata.png.
"""

import argparse
import csv
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tata_sites import HERE, VALIDATION, WORD, Site, sites, training, windows

from orchid_genomics import draw
from orchid_genomics.draw.canvas import INK, MUTED, OURS, axes
from orchid_genomics.evaluate.held_out import contig_tokens
from orchid_genomics.evaluate.ngram import NgramModel
from orchid_genomics.evaluate.variants.ranking import rank
from orchid_genomics.explain import OneHot, mutate, one_hot
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import DNA

SCORES = {
    "certainty": "bits of certainty, each letter hidden in turn (2 - entropy)",
    "likelihood": "log2 p of the letters, each hidden in turn",
    "context": "log2 p of the letters, all eight hidden",
    "mutation": "loss of the inner half's pseudo-likelihood when a letter is substituted, nats",
}


def by_model(model: OrchidModel, tokens_NL: np.ndarray, say) -> dict[str, np.ndarray]:
    """Every score of SCORES (N,) of a model."""
    first = tokens_NL.shape[1] // 2 - WORD // 2
    word = slice(first, first + WORD)
    true_NW = tokens_NL[:, word].astype(np.intp)
    logs_NWV = np.empty((len(tokens_NL), WORD, 4))
    for i in range(WORD):
        logs_NWV[:, i] = hidden_logs(model, tokens_NL, [first + i])[:, 0]
    blind_NWV = hidden_logs(model, tokens_NL, range(first, first + WORD))
    say("hidden letters")
    found = of_letters(logs_NWV, blind_NWV, true_NW)
    found["mutation"] = np.empty(len(tokens_NL))
    explained, quarter = OneHot(model, "pll"), tokens_NL.shape[1] // 4
    for row, tokens in enumerate(tokens_NL):
        x_14L = one_hot(tokens[None, quarter:-quarter])
        effects = mutate(explained, x_14L, first - quarter, first - quarter + WORD, batch=24)
        found["mutation"][row] = -float(effects.sum()) / (3 * WORD)
        if row % 20 == 0:
            say(f"mutations: {row} of {len(tokens_NL)}")
    return found


def of_letters(
    logs_NWV: np.ndarray, blind_NWV: np.ndarray, true_NW: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores of predicted letters, from log2 p with one letter hidden and with all of the word
    hidden.
    """
    entropy = -(np.exp2(logs_NWV) * logs_NWV).sum(-1).mean(-1)
    picked = [
        np.take_along_axis(each, true_NW[..., None], 2)[..., 0].mean(-1)
        for each in (logs_NWV, blind_NWV)
    ]
    return {"certainty": 2 - entropy, "likelihood": picked[0], "context": picked[1]}


@torch.inference_mode()
def hidden_logs(model: OrchidModel, tokens_NL: np.ndarray, hidden) -> np.ndarray:
    """log2 p (N, hidden, 4) of letters hidden together."""
    shown, places = tokens_NL.copy(), list(hidden)
    shown[:, places] = DNA.mask
    parts = [
        model.encode(torch.from_numpy(rows))[:, places].log_softmax(-1)
        for rows in np.array_split(shown, -(-len(shown) // 16))
    ]
    return torch.cat(parts).double().numpy() / np.log(2)


def by_counts(genome: Genome, tokens_NL: np.ndarray) -> dict[str, np.ndarray]:
    """The scores that counts of six letters on both sides have; "mutation" reaches as far as they
    see.
    """
    counts = NgramModel.fit(training(genome), 6, 6).tune(
        [contig_tokens(genome, c) for c in VALIDATION]
    )
    reach, middle = 2 * 6 + WORD, tokens_NL.shape[1] // 2 - WORD // 2
    rows_NK = np.ascontiguousarray(tokens_NL[:, middle - reach : middle + WORD + reach])
    K = rows_NK.shape[1]

    def logs(
        rows_MK: np.ndarray, places: np.ndarray, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        apart = np.pad(rows_MK, ((0, 0), (0, 6)), constant_values=DNA.n)
        at = (np.arange(len(apart))[:, None] * apart.shape[1] + places).ravel()
        unseen = (
            None
            if hidden is None
            else np.tile(np.isin(np.arange(apart.shape[1]), hidden), len(apart))
        )
        p_N4 = counts.probabilities(apart.ravel(), at, unseen)
        return np.log2(p_N4).reshape(len(apart), len(places), 4)

    def total(rows_MK: np.ndarray) -> np.ndarray:
        seen = np.arange(6, K - 6)
        picked = np.take_along_axis(logs(rows_MK, seen), rows_MK[:, seen, None].astype(np.intp), 2)
        return picked[..., 0].sum(-1) * np.log(2)

    word = np.arange(reach, reach + WORD)
    found = of_letters(
        logs(rows_NK, word), logs(rows_NK, word, word), rows_NK[:, word].astype(np.intp)
    )
    before, change = total(rows_NK), np.zeros(len(rows_NK))
    for place in word:
        for step in (1, 2, 3):
            mutants = rows_NK.copy()
            mutants[:, place] = (mutants[:, place] + step) % 4
            change += before - total(mutants)
    return found | {"mutation": change / (3 * WORD)}


def without(score: np.ndarray, around: np.ndarray, found: list[Site]) -> np.ndarray:
    """What is left of a score (N,) once a line in the share of A and T around, and the word's mean,
    are taken out.
    """
    words = np.array([site.word for site in found])
    columns = np.stack([around, *(words == word for word in np.unique(words))], 1).astype(float)
    return score - columns @ np.linalg.lstsq(columns, score, rcond=None)[0]


def averaged(found: list[Site], score: np.ndarray) -> tuple[np.ndarray, ...]:
    """One row a promoter and stratum: mean score, whether bound, promoter, stratum (numbers from
    0).
    """
    keys = np.array([f"{site.promoter}\t{site.stratum}\t{int(site.bound)}" for site in found])
    names, which = np.unique(keys, return_inverse=True)
    promoter, stratum, bound = np.array([name.split("\t") for name in names]).T
    number = np.unique(stratum, return_inverse=True)[1]
    return np.bincount(which, score) / np.bincount(which), bound == "1", promoter, number


def difference(score: np.ndarray, bound: np.ndarray, stratum: np.ndarray) -> float:
    """Bound less unbound within strata, each stratum weighing as many as its bound rows; NaN where
    none holds both.
    """
    size = stratum.max() + 1
    n1, n0 = (np.bincount(stratum[side], minlength=size) for side in (bound, ~bound))
    s1, s0 = (np.bincount(stratum[side], score[side], size) for side in (bound, ~bound))
    use = (n1 > 0) & (n0 > 0)
    return (
        float((s1[use] - n1[use] * s0[use] / n0[use]).sum() / n1[use].sum())
        if use.any()
        else np.nan
    )


def permuted(
    score: np.ndarray, bound: np.ndarray, stratum: np.ndarray, samples: int = 5000, seed: int = 0
) -> float:
    """Two-sided p of the difference when labels are shuffled within strata."""
    rng, order = np.random.default_rng(seed), np.argsort(stratum, kind="stable")
    score, bound, stratum = score[order], bound[order], stratum[order]
    true = abs(difference(score, bound, stratum))
    hits = 0
    for _ in range(samples):
        shuffled = bound[np.lexsort((rng.random(len(bound)), stratum))]
        hits += abs(difference(score, shuffled, stratum)) >= true - 1e-12
    return (hits + 1) / (samples + 1)


def lines_of(
    found: list[Site], scores: dict[str, dict[str, np.ndarray]]
) -> tuple[list[str], list[tuple]]:
    """The table as text, and what the picture draws: (source, score, AUROC area)."""
    lines, drawn = [], []
    for name, what in SCORES.items():
        lines += ["", f"{name}: {what}"]
        for source, values in scores.items():
            if name not in values:
                continue
            score, bound, promoter, stratum = averaged(found, values[name])
            result = rank(score, bound, promoter, stratum)
            area, p = result.auroc, permuted(score, bound, stratum)
            lines.append(
                f"  {source:<22} AUROC {area.value:.3f} ({area.low:.3f} to {area.high:.3f})   bound"
                f" - unbound {difference(score, bound, stratum):+.4f}   p {p:.4f}"
            )
            drawn.append((source, name, area))
    lines.append(
        f"\n{result.positives} bound and {result.negatives} unbound rows (promoter and stratum)"
        " that have"
    )
    lines.append(f"partners, of {result.clusters} promoters in {result.strata} strata")
    return lines, drawn


def picture(drawn: list[tuple], path: Path) -> None:
    """AUROC of every score and source with its interval."""
    ax = axes(None, (6.6, 3.6))
    sources = list(dict.fromkeys(source for source, _, _ in drawn))
    colours = dict(zip(sources, (OURS, *[MUTED] * len(sources)), strict=False))
    marks = dict(zip(sources, "osv^D", strict=False))
    names = list(dict.fromkeys(name for _, name, _ in drawn))
    for source, name, area in drawn:
        y = names.index(name) + 0.16 * (sources.index(source) - (len(sources) - 1) / 2)
        ax.plot(
            [area.low, area.high], [y, y], color=colours[source], lw=1.4, solid_capstyle="round"
        )
        label = source if names.index(name) == 0 else None
        ax.plot([area.value], [y], marks[source], color=colours[source], ms=5, lw=0, label=label)
    ax.axvline(0.5, color=INK, lw=0.7, ls=":")
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.invert_yaxis()
    ax.set_xlabel("AUROC, bound above unbound, same word and distance", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    draw.save(ax, path)


def kept(path: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Scores that an earlier run left at `path`, or made now and left there."""
    if not Path(path).exists():
        np.savez(path, **make())
    with np.load(path) as scores:
        return dict(scores)


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("model")
    words.add_argument("tata", type=Path)
    words.add_argument("tss", type=Path)
    words.add_argument("-o", "--out", default="tata")
    words.add_argument("--window", type=int, default=512)
    words.add_argument(
        "--random", type=int, default=1, help="models with random weights, seeds 1 to this"
    )
    chosen = words.parse_args()
    genome = Genome(HERE / "sacCer3.fa.gz")
    found, notes = sites(genome, chosen.tata, chosen.tss)
    tokens_NL = windows(genome, found, chosen.window)
    ends = np.array([site.bound for site in found])
    lines = [f"{ends.sum()} bound and {(~ends).sum()} unbound sites", *notes]
    print(*lines, sep="\n", file=sys.stderr, flush=True)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    model = OrchidModel.from_pretrained(chosen.model)
    around = np.isin(
        tokens_NL[:, chosen.window // 2 - 100 : chosen.window // 2 + 100], (0, 3)
    ).mean(1)
    about = f"{chosen.out}.{model.hash()}.{chosen.window}.{len(found)}"
    scores = {"model": kept(f"{about}.npz", lambda: by_model(model, tokens_NL, say))}
    for seed in range(1, chosen.random + 1):
        torch.manual_seed(seed)
        blank = OrchidModel(model.recipe).eval()
        scores[f"random weights, {seed}"] = kept(
            f"{about}.{seed}.npz", partial(by_model, blank, tokens_NL, say)
        )
    scores["counts, 6 + 6"] = by_counts(genome, tokens_NL)
    left = {name: without(values, around, found) for name, values in scores["model"].items()}
    scores |= {"A and T within 100": {"certainty": around}, "model without A and T": left}
    table, drawn = lines_of(found, scores)
    lines += table
    print(*table, sep="\n")
    Path(f"{chosen.out}.txt").write_text("\n".join(lines) + "\n")
    picture(drawn, Path(f"{chosen.out}.png"))
    columns = [(source, name) for source, values in scores.items() for name in values]
    with Path(f"{chosen.out}.tsv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        heads = ("#contig", "start", "end", "strand", "word", "promoter", "distance", "bound")
        rows.writerow([*heads, *(f"{source}: {name}" for source, name in columns)])
        for i, site in enumerate(found):
            place = site.place
            about = (
                place.contig,
                place.start,
                place.end,
                place.strand,
                site.word,
                site.promoter,
                site.distance,
            )
            rows.writerow(
                [*about, int(site.bound), *(f"{scores[s][name][i]:.6g}" for s, name in columns)]
            )


if __name__ == "__main__":
    main()
