"""A run that commands may read."""

import pytest

from orchid_genomics.cli import main


@pytest.fixture
def trained(small, tmp_path, capsys):
    """A finished run of the small recipe."""
    main(["pretrain", str(small), "-o", str(tmp_path / "run"), "--set", "evaluation.sites=0"])
    capsys.readouterr()
    return tmp_path / "run"
