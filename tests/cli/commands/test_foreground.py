"""``geobatch step``: one chunk in the foreground."""

from __future__ import annotations

import json
import subprocess
import sys

FAILING = """
def f(block, *, fails: bool = True):
    half = block / 2
    if fails:
        raise ValueError("no luck")
    return half.astype(block.dtype)
"""


def test_a_chunk_is_computed_and_shown(here, job_file, tmp_path):
    """Its figures, or the frames of the function that failed in it."""
    (tmp_path / "steps.py").write_text(FAILING)
    text = job_file().read_text().partition("[op]")
    rest = text[2].partition("[output]")[2]
    step = '[[step]]\nuse = "steps.py:f"\n'
    (tmp_path / "own.toml").write_text(f"{text[0]}{step}[output]{rest}")
    done = here("step", "own.toml", "hills.tif@0,0", "--set", "f.fails=false", "--json", check=0)
    assert json.loads(done.stdout)["shape"] == [1, 560, 780]
    shown = here("step", "own.toml", "hills.tif@0,0", "--set", "f.fails=false", check=0).stdout
    assert "780 x 560 pixels at column 0, row 0" in shown
    failed = here("step", "own.toml", "hills.tif@0,0")
    assert failed.returncode == 1
    assert 'raise ValueError("no luck")' in failed.stderr
    assert "steps.py:f raised ValueError: no luck (steps.py, line 5)" in failed.stderr
    # What the function got stands before its failure.
    each = here("step", "own.toml", "hills.tif@0,0", "--each", "--json")
    assert each.returncode == 1
    (source,) = json.loads(each.stdout)["steps"]
    assert (source["step"], source["name"], source["size"]) == (0, "read", [780, 560])
    assert "no luck" in each.stderr
    debugged = subprocess.run(
        [sys.executable, "-m", "geobatch_tui", "step", "own.toml", "hills.tif@0,0", "--pdb"],
        input="p block.shape\ncontinue\np half.ndim == 3\nquit\n",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert "(1, 560, 780)" in debugged.stdout
    assert "steps.py(5)f()" in debugged.stdout
    assert "True" in debugged.stdout
    assert debugged.returncode == 1
