"""What a command that must fail is held to."""

import pytest

from orchid_genomics.cli import main


@pytest.fixture
def refused(capsys, tmp_path):
    """Run words; they must fail with one line, and leave every file as it was. Returns that line."""

    def run(*words, code=1):
        before = snapshot(tmp_path)
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert (stop.value.code, out) == (code, "")
        assert err.count("\n") == 1, err
        assert err.startswith("error: ")
        assert snapshot(tmp_path) == before
        return err.strip()

    return run


@pytest.fixture
def trained(small, tmp_path, capsys):
    """A finished run of the small recipe."""
    main(["pretrain", str(small), "-o", str(tmp_path / "run"), "--set", "evaluation.sites=0"])
    capsys.readouterr()
    return tmp_path / "run"


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
