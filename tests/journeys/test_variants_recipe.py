"""The chain of commands behind recipes/yeast/variants.md, on two genes in place of 200."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

YEAST = Path(__file__).parent.parent.parent / "recipes" / "yeast"


@pytest.mark.slow
def test_the_script_writes_every_table(tmp_path):
    env = {
        **os.environ,
        "GENES": "2",
        "EVERY": "20",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", str(YEAST / "variants.sh"), "yeast", str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for scores, lines in (("unmasked", 4), ("masked", 4)):
        for name in ("stop", "frame", "letter", "missense"):
            groups = json.loads((tmp_path / f"{scores}.{name}.json").read_text())["groups"]
            assert [group["name"] for group in groups] == ["all"]
            assert len(groups[0]["lines"]) == lines
            assert f"within {'STOP x ' * (name == 'frame')}" in done.stdout
