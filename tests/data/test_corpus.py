"""The corpus: nothing held out is read in training, draws are exact, and wrong splits are one clear
line.
"""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchid_genomics.data.corpus import Corpus, DataRecipe, GenomeRecipe
from orchid_genomics.data.sampling import pattern
from orchid_genomics.data.splits import Split
from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.genome.regions import merge, union
from orchid_genomics.recipe import validate
from orchid_genomics.sequence import DNA, SOFT, Interval
from orchid_genomics.sequence.hashing import hash_integers

SIZES = {"A": 3_000, "B": 2_000, "C": 1_500, "D": 400}
DATA = DataRecipe(length=64)


def write_fasta(path, sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    with path.open("w") as out:
        for name, size in sizes.items():
            out.write(f">{name}\n{bytes(rng.choice(list(b'ACGTacgt'), size).tolist()).decode()}\n")
    return path


def write_bed(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    return write_fasta(tmp_path_factory.mktemp("corpus") / "genome.fa")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return write_fasta(tmp_path_factory.mktemp("other") / "other.fa", seed=1)


def corpus(*genomes, **data):
    return Corpus(
        tuple(GenomeRecipe(**genome) for genome in genomes), DataRecipe(**{"length": 64, **data})
    )


region = st.tuples(st.sampled_from("AB"), st.integers(0, 1_990), st.integers(1, 200))


@given(
    validation=st.lists(region, max_size=3),
    test=st.lists(region, max_size=3),
    length=st.integers(32, 500),
    stride=st.none() | st.integers(20, 600),
    jitter=st.none() | st.integers(0, 300),
    min_acgt=st.sampled_from([0.0, 0.9]),
)
@settings(max_examples=60, deadline=None)
def test_no_draw_reads_a_held_out_letter(fasta, validation, test, length, stride, jitter, min_acgt):
    beds = {}
    for name, places in (("validation_bed", validation), ("test_bed", test)):
        lines = [
            f"{contig}\t{start}\t{min(start + size, SIZES[contig])}"
            for contig, start, size in places
        ]
        if lines:
            beds[name] = write_bed(fasta.with_name(f"{name}.bed"), *lines)
    genome = {"fasta": fasta, "validation": ("C",), "test": ("D",), **beds}
    try:
        built = corpus(genome, length=length, stride=stride, jitter=jitter, min_acgt=min_acgt)
        training = built.training(batch=50)
    except (InputError, RecipeError) as error:
        known = ("no training window", "for both validation and test")
        assert any(words in str(error) for words in known)  # noqa: PT017
        return
    forbidden = [place for split in ("validation", "test") for _, place in built.held_out(split)]
    drawn = {
        (place.contig, place.start, place.end)
        for step in range(6)
        for _, place in training.places(1, step, range(50))
    }
    for place in itertools.starmap(Interval, drawn):
        assert not any(place.overlaps(other) for other in forbidden)
    assert {contig for contig, _, _ in drawn} <= {"A", "B"}
    extremes = training.sources[0].windows
    for i in range(len(extremes)):
        for shift in (-training.jitter, training.jitter):
            assert not any(extremes.interval(i, shift).overlaps(other) for other in forbidden)


@given(places=st.lists(region, max_size=5), jitter=st.integers(0, 200), length=st.integers(32, 300))
@settings(max_examples=30, deadline=None)
def test_the_second_check_counts_the_letters_that_could_leak(fasta, places, jitter, length):
    built = corpus({"fasta": fasta, "validation": ("C",)}, length=length, jitter=jitter, min_acgt=0)
    split, windows = built.splits[0], built.training().sources[0].windows
    split.held_out["test"] = merge(
        Interval(contig, start, start + size) for contig, start, size in places
    )
    held = {name: np.zeros(size + 300, bool) for name, size in SIZES.items()}
    read = {name: np.zeros(size + 300, bool) for name, size in SIZES.items()}
    for place in split.held_out["test"]:
        held[place.contig][place.start : place.end] = True
    for i in range(len(windows)):
        place = windows.interval(i)
        read[place.contig][
            max(0, place.start - jitter) : min(place.end + jitter, SIZES[place.contig])
        ] = True
    assert split.overlap(windows, jitter) == sum(
        int((held[name] & read[name]).sum()) for name in SIZES
    )


def test_a_batch_is_the_same_however_its_rows_are_shared_out(fasta, other):
    training = corpus({"fasta": fasta}, {"fasta": other}, strands="both").training(batch=12)
    whole = training.batch(5, 3, range(12))
    assert whole.shape == (12, 64)
    parts = [training.batch(5, 3, rows) for rows in (range(4), range(4, 5), range(5, 12))]
    assert np.array_equal(whole, np.concatenate(parts))
    again = corpus({"fasta": fasta}, {"fasta": other}, strands="both").training(batch=12)
    assert np.array_equal(whole[::5], again.batch(5, 3, range(0, 12, 5)))
    assert not np.array_equal(whole, training.batch(6, 3, range(12)))
    assert not np.array_equal(whole, training.batch(5, 4, range(12)))


def test_places_say_what_was_read_and_case_is_kept(fasta, other):
    built = corpus({"fasta": fasta}, {"fasta": other}, strands="both")
    training = built.training(batch=40)
    tokens_BL, places = training.batch(0, 7, range(40)), training.places(0, 7, range(40))
    assert {place.strand for _, place in places} == {"+", "-"}
    for row, (number, place) in zip(tokens_BL, places, strict=True):
        letters = built.genomes[number].letters(place.contig, place.start, place.end)
        forward = DNA.reverse_complement(row) if place.strand == "-" else row
        assert DNA.decode(forward) == letters.decode()


def test_an_epoch_reads_every_window_once_and_the_next_in_another_order(fasta):
    training = corpus({"fasta": fasta}, jitter=0).training(batch=10)
    count = len(training)
    number = np.arange(2 * count)
    window = training.draws(3, number // 10, number % 10).window
    first, second = window[:count], window[count:]
    assert sorted(first) == sorted(second) == list(range(count))
    assert not np.array_equal(first, second)


def test_jitter_reaches_both_ends_evenly_and_half_of_the_windows_are_turned(fasta):
    training = corpus({"fasta": fasta}, jitter=2, strands="both").training(batch=1_000)
    drawn = training.draws(0, 0, range(1_000))
    shifts = Counter(drawn.shift.tolist())
    assert sorted(shifts) == [-2, -1, 0, 1, 2]
    assert min(shifts.values()) > 150
    assert 450 < drawn.reverse.sum() < 550
    assert not corpus({"fasta": fasta}).training(batch=9).draws(0, 0, range(9)).reverse.any()


def test_weights_and_functional_shares_are_exact(fasta, other):
    bed = write_bed(
        fasta.with_name("elements.bed"), "A\t500\t540", "B\t900\t910\tx\t0\t-", "C\t10\t20"
    )
    first = {
        "fasta": fasta,
        "weight": 3,
        "test": ("C",),
        "functional": ({"bed": bed, "share": 0.2},),
    }
    built = corpus(first, {"fasta": other, "weight": 1}, jitter=10)
    training = built.training(batch=20)
    drawn = training.draws(0, np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50))
    assert np.bincount(drawn.source).tolist() == [600, 150, 250]
    assert [source.genome for source in training.sources] == [0, 0, 1]
    assert np.bincount(training.draws(0, 11, range(20)).source).tolist() == [12, 3, 5]
    near = [
        place
        for at, place in zip(drawn.source[:20], training.places(0, 0, range(20)), strict=True)
        if at == 1
    ]
    assert all(
        place[1].start <= 520 < place[1].end or place[1].start <= 905 < place[1].end
        for place in near
    )
    assert built.report()["genomes"][0]["dropped"]["not on a training contig"] == 1


@given(st.lists(st.fractions(0, 5, max_denominator=50), min_size=1, max_size=5).filter(sum))
@settings(deadline=None)
def test_a_pattern_holds_exact_shares_spread_evenly(weights):
    found = pattern(weights)
    shares = [Fraction(weight) / sum(weights) for weight in weights]
    counts = np.bincount(found, minlength=len(weights))
    if len(found) < 1 << 16:
        assert counts.tolist() == [share * len(found) for share in shares]
    assert np.abs(counts - np.array([float(share) * len(found) for share in shares])).max() < 1
    for source, share in enumerate(shares):
        running = np.cumsum(found == source) - float(share) * np.arange(1, len(found) + 1)
        assert np.abs(running).max() < len(weights)


def test_hashes_differ_by_every_part():
    numbers = hash_integers(0, np.arange(1_000)[:, None], np.arange(100)[None])
    assert len(np.unique(numbers)) == numbers.size
    assert not np.intersect1d(
        numbers, hash_integers(1, np.arange(1_000)[:, None], np.arange(100)[None])
    ).size


def test_what_training_saw_is_what_it_read(fasta, other):
    built = corpus({"fasta": fasta, "weight": 2, "test": ("A",)}, {"fasta": other})
    stages = [(64, 6, 0, 4), (128, 3, 4, 9)]
    read = {}
    for length, batch, first, last in stages:
        for step in range(first, last):
            for number, place in built.training(length, batch).places(2, step, range(batch)):
                letters = read.setdefault(
                    (number, place.contig), np.zeros(SIZES[place.contig], bool)
                )
                letters[max(place.start, 0) : max(place.end, 0)] = True
    seen = built.seen(2, stages)
    assert list(seen) == [str(fasta), str(other)]
    assert "A" not in seen[str(fasta)]
    for (number, contig), letters in read.items():
        pairs = seen[str((fasta, other)[number])][contig]
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(pairs))
        found = np.zeros(len(letters), bool)
        for start, end in pairs:
            found[start:end] = True
        assert np.array_equal(found, letters)


def test_evaluation_owns_every_held_out_letter_once(fasta, other):
    bed = write_bed(
        fasta.with_name("tests.bed"), "A\t100\t110", "A\t112\t120", "A\t500\t900", "A\t890\t950"
    )
    built = corpus(
        {"fasta": fasta, "test": ("B", "D"), "test_bed": bed}, {"fasta": other, "test": ("C",)}
    )
    owned = Counter()
    for number, windows in enumerate(built.evaluation("test", 100)):
        for i in range(len(windows)):
            place, own = windows.interval(i), windows.own(i)
            owned.update(
                (number, place.contig, at)
                for at in range(place.start + own.start, place.start + own.stop)
            )
    assert set(owned.values()) == {1}
    held = {
        (number, p.contig, at)
        for number, p in built.held_out("test")
        for at in range(p.start, p.end)
    }
    assert set(owned) == held
    assert len(held) == 2_000 + 400 + 18 + 450 + 1_500
    assert built.evaluation("validation") == []


def test_the_report_counts_windows_drops_and_bases(fasta):
    bed = write_bed(fasta.with_name("exclude.bed"), "A\t0\t64")
    built = corpus(
        {"fasta": fasta, "validation": ("B",), "ignore": ("D",), "exclude": (bed,)}, jitter=0
    )
    report = built.report()
    genome = report["genomes"][0]
    assert report["overlap"] == 0
    assert genome["bases"] == {"train": 4_500, "validation": 2_000, "test": 0, "ignore": 400}
    assert genome["windows"] == 46 + 24
    assert genome["dropped"]["could touch an excluded place"] == 1
    assert genome["n_percent"] == 0
    assert 45 < genome["soft_masked_percent"] < 55
    assert genome["overhang"] == 0


def test_regions_keep_training_to_a_bed(fasta):
    bed = write_bed(fasta.with_name("regions.bed"), "A\t500\t700", "B\t100\t200")
    built = corpus({"fasta": fasta, "validation": ("B",), "regions": bed}, jitter=0)
    assert built.training().sources[0].windows.start.tolist() == [500, 564, 628, 692]
    assert built.report()["genomes"][0]["dropped"]["not on a training contig"] == 2


@pytest.mark.filterwarnings("ignore::orchid_genomics.errors.GenomeNote")
def test_other_names_of_contigs_come_from_a_file_of_aliases(fasta, tmp_path):
    (tmp_path / "names.txt").write_text("B\tNC_1.1\n")
    (tmp_path / "out.bed").write_text("NC_1.1\t10\t90\n")
    recipe = GenomeRecipe(
        fasta=fasta,
        aliases=tmp_path / "names.txt",
        test=("NC_1.1",),
        exclude=(tmp_path / "out.bed",),
    )
    split = Split.of(recipe, "genomes.0")
    assert split.contigs["test"] == ("B",)
    assert split.excluded == [Interval("B", 10, 90)]


def test_a_named_training_set_leaves_the_rest_out(fasta):
    built = corpus({"fasta": fasta, "train": ("B",), "test": ("C",)})
    assert built.splits[0].contigs == {
        "train": ("B",),
        "validation": (),
        "test": ("C",),
        "ignore": ("A", "D"),
    }


def test_wrong_splits_are_one_clear_line(fasta):
    with pytest.raises(
        RecipeError, match=r"genomes\.0: A is in both validation and test; one split a contig"
    ):
        corpus({"fasta": fasta, "validation": ("A",), "test": ("A",)})
    with pytest.raises(InputError) as caught:
        corpus({"fasta": fasta, "test": ("Z",)})
    assert "Z" in str(caught.value)
    assert "A" in str(caught.value)
    bed = write_bed(fasta.with_name("v.bed"), "A\t10\t20")
    with pytest.raises(
        RecipeError, match=r"A:11-20 \(1-based\) is held out for both validation and test"
    ):
        corpus({"fasta": fasta, "validation_bed": bed, "test": ("A",)})
    empty = write_bed(fasta.with_name("empty.bed"))
    with pytest.raises(
        InputError, match=r"empty\.bed: has no record; regions to hold out for test, or no test_bed"
    ):
        corpus({"fasta": fasta, "test_bed": empty})
    with pytest.raises(RecipeError, match=r"genomes\.1\.fasta: .* is genomes\.0 already"):
        corpus({"fasta": fasta}, {"fasta": fasta})


def test_no_window_left_is_one_clear_line(fasta):
    with pytest.raises(
        InputError, match=r"window of 5,000 nt is longer than every training contig .*A: 3,000 nt"
    ):
        corpus({"fasta": fasta}, length=5_000).training()
    with pytest.raises(InputError, match="every contig is held out or ignored"):
        corpus({"fasta": fasta, "test": tuple(SIZES)}).training()
    bed = write_bed(fasta.with_name("all.bed"), "A\t1500\t1501")
    one = {"fasta": fasta, "train": ("A",), "test_bed": bed}
    with pytest.raises(
        InputError,
        match=r"no training window of 1,024 nt is left of 3 \(3 could touch a held-out place\)",
    ):
        corpus(one, length=1_024, jitter=1_000).training()


def test_wrong_recipes_say_what_was_possible(fasta):
    with pytest.raises(RecipeError, match=r"functional: the shares sum to 1\.2; at most 1"):
        validate(
            GenomeRecipe, {"fasta": fasta, "functional": [{"bed": "x", "share": 0.6}] * 2}, "r.toml"
        )
    with pytest.raises(RecipeError, match=r"weight: .*greater than 0"):
        validate(GenomeRecipe, {"fasta": fasta, "weight": 0}, "r.toml")
    with pytest.raises(RecipeError, match=r"strands: 'reverse'; possible: 'forward' or 'both'"):
        validate(DataRecipe, {"strands": "reverse"}, "r.toml")


def test_unions_join_what_touches():
    starts, ends = union(np.array([5, 0, 3, 9]), np.array([7, 3, 4, 10]))
    assert (starts.tolist(), ends.tolist()) == ([0, 5, 9], [4, 7, 10])


@pytest.mark.parametrize("strands", ["forward", "both"])
def test_letters_of_soft_regions_are_read_as_lower_case(tmp_path, fasta, strands):
    places = {"A": [(10, 30), (500, 1_400)], "C": [(0, 1_500)]}
    lines = [f"{name}\t{a}\t{b}" for name, rows in places.items() for a, b in rows]
    bed = write_bed(tmp_path / "soft.bed", *lines)
    plain = corpus({"fasta": fasta, "validation": ("B",)}, strands=strands)
    soft = corpus({"fasta": fasta, "validation": ("B",), "soft": (bed,)}, strands=strands)
    rows = range(16)
    sampler = soft.training(batch=16)
    for step in range(6):
        before = plain.training(batch=16).batch(0, step, rows)
        after = sampler.batch(0, step, rows)
        expected = before.copy()
        for row, (_, place) in enumerate(sampler.places(0, step, rows)):
            position = np.arange(place.start, place.end)[:: -1 if place.strand == "-" else 1]
            for start, end in places.get(place.contig, ()):
                expected[row, (position >= start) & (position < end)] |= SOFT
        assert np.array_equal(after, expected)
        assert not np.array_equal(after, before)


def test_no_window_over_an_origin_reads_what_is_held_out_there(fasta, tmp_path):
    """Both ends of a circular contig are neighbours: what is held out at one bounds the other."""
    bed = write_bed(tmp_path / "test.bed", "A\t0\t40\nA\t1500\t1600")
    held = set(range(40)) | set(range(1500, 1600))
    for circular in ((), ("A",)):
        built = corpus({"fasta": fasta, "train": ("A",), "test_bed": bed, "circular": circular})
        training = built.training(batch=50)
        read = set()
        for _, place in training.places(0, 0, range(50)):
            read |= {letter % 3_000 for letter in range(place.start, place.end)}
        windows = training.sources[0].windows
        assert built.splits[0].overlap(windows, 32) == 0
        # The last tile and its jitter reach beyond letter 2,999.
        assert windows.dropped["could touch a held-out place"] == (7 if circular else 6)
        if circular:
            assert not read & held


def test_what_was_seen_goes_round_the_origin(fasta):
    built = corpus({"fasta": fasta, "train": ("A",), "circular": ("A",)}, jitter=32)
    seen = built.seen(0, [(64, 20, 0, 20)])[str(fasta)]["A"]
    assert seen[0][0] == 0
    assert seen[-1][1] == 3_000
    read = np.zeros(3_000, bool)
    training = built.training(64, 20)
    for step in range(20):
        for _, place in training.places(0, step, range(20)):
            read[np.arange(place.start, place.end) % 3_000] = True
    assert sum(end - start for start, end in seen) == read.sum()


def test_a_circular_contig_is_named_or_said_by_an_annotation(fasta, tmp_path):
    gff = tmp_path / "a.gff3"
    gff.write_text("##gff-version 3\nB\tx\tregion\t1\t2000\t.\t+\t.\tID=B;Is_circular=true\n")
    built = corpus({"fasta": fasta, "circular": ("A",), "annotation": gff})
    assert built.genomes[0].circular == {"A", "B"}
    with pytest.raises(InputError, match=r"genomes.0.circular: unknown contig 'P'"):
        corpus({"fasta": fasta, "circular": ("P",)})


def test_soft_regions_go_round_the_origin(tmp_path, fasta):
    bed = write_bed(tmp_path / "soft.bed", "A\t0\t20\nA\t2990\t3000")
    light = np.zeros(3_000, bool)
    light[:20] = light[2990:] = True
    genome = {"fasta": fasta, "train": ("A",), "circular": ("A",)}
    sampler = corpus({**genome, "soft": (bed,)}).training(batch=60)
    plain = corpus(genome).training(batch=60)
    expected = plain.batch(0, 0, range(60))
    for row, (_, place) in enumerate(sampler.places(0, 0, range(60))):
        expected[row, light[np.arange(place.start, place.end) % 3_000]] |= SOFT
    assert np.array_equal(sampler.batch(0, 0, range(60)), expected)
