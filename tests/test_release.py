"""A release says the same of itself everywhere: version, changelog, citation, licence, pins."""

import re
import tomllib
from pathlib import Path

import orchid_genomics

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = (ROOT / "CITATION.cff").read_text()
NEWEST, DATE = re.search(
    r"^## (\S+) \(([^)]+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M
).groups()


def cited(key):
    """A top-level value of CITATION.cff."""
    match = re.search(rf"^{key}: (.+)$", CITATION, re.M)
    return match and match[1].strip('"')


def canonical(requirement):
    """The name of a package, as an index spells it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_package_changelog_and_citation_name_one_version():
    assert orchid_genomics.__version__ == NEWEST == cited("version")


def test_a_release_has_one_date_and_what_is_unreleased_has_none():
    said = cited("date-released") or "unreleased"
    assert said == DATE


def test_the_licence_is_the_same():
    assert cited("license") == PROJECT["license"]


def test_every_package_of_the_project_is_pinned():
    pinned = {
        canonical(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = PROJECT["optional-dependencies"].values()
    wanted = {canonical(each) for each in sum(extras, PROJECT["dependencies"])}
    assert wanted - pinned == {"orchid-genomics"}
