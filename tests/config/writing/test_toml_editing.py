"""Job files changed in place: what is meant changes, and nothing else."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.config.writing.toml_editing import edited_toml

FILE = """# head
[job]
name = "alps" # the name

[source]
inputs = [
  "a.tif",  # first
]

[op]
name = "raster.reproject"   # what
dst_crs = "EPSG:6933"
[output]
dir = "out"
creation = { compress = "deflate", blocksize = 256 } # kept
# last
"""
CHAIN = """[job]
name = "c"
# first
[[step]]
name = "read" # r
input = "a.tif"

[[step]]
name = "hillshade"
z = 3 # zed
[output]
dir = "o"
"""


def test_values_change_where_they_stand():
    """A line each: comments, order and what was not meant stay to the letter."""
    changes = {
        "job.name": "b",
        "output.creation": {"compress": "zstd", "blocksize": 256},
        "op.dst_crs": None,
        "op.resampling": "cubic",
        "engine.max_workers": 3,
    }
    assert edited_toml(FILE, changes) == (
        FILE.replace('"alps"', '"b"')
        .replace('"deflate"', '"zstd"')
        .replace('dst_crs = "EPSG:6933"', 'resampling = "cubic"')
        + "\n[engine]\nmax_workers = 3\n"
    )
    assert edited_toml(FILE, {}) == FILE
    assert edited_toml(FILE, {"log.level": None}) == FILE


@pytest.mark.parametrize(
    "text",
    [
        'job.name = "a"\noutput.dir = "o"\n',
        '[job]\r\nname = "a" # x\r\n',
        'job = { name = "a" }\n',
        '[ "job" ]\n\'name\' = """a"""\n[output.creation]\nlevel = 1\n',
    ],
)
def test_other_forms_of_toml(text):
    """Dotted keys, inline tables, quotes, line ends of Windows: they stay as they are."""
    found = edited_toml(text, {"job.name": "b"})
    assert found is not None
    assert tomllib.loads(found)["job"]["name"] == "b"
    assert found.count("\r") == text.count("\r")
    assert len(found.splitlines()) == len(text.splitlines())


def test_steps_change_where_they_stand():
    """A step that stays keeps its comments; one comes and one changes a value."""
    steps = [
        {"name": "read", "input": "a.tif"},
        {"name": "resize", "size": [20, 20]},
        {"name": "hillshade", "z": 4},
    ]
    found = edited_toml(CHAIN, {"output.dir": "p"}, steps)
    values = tomllib.loads(found)
    assert values["step"] == steps
    assert values["output"] == {"dir": "p"}
    assert "# first" in found
    assert '"read" # r' in found
    assert "z = 4 # zed" in found
    assert edited_toml(FILE, {}, steps) is None, "there are no tables of steps to change"
    assert edited_toml('[op]\nsteps = [{ name = "read" }]\n', {}, steps) is None


KEYS = st.sampled_from(["job.name", "output.dir", "engine.x", "op.list", "output.creation"])
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-9, 9),
    st.text(max_size=8),
    st.lists(st.text(max_size=3), max_size=3),
)
VALUES = st.one_of(st.none(), PLAIN, st.dictionaries(st.text(max_size=4), PLAIN, max_size=3))


@settings(max_examples=40)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_values_are_read_back(changes):
    """Whatever is written is what was meant, or nothing is written."""
    found = edited_toml(FILE, changes)
    if found is None:
        return
    values = tomllib.loads(found)
    for key, value in changes.items():
        section, _, name = key.partition(".")
        assert values.get(section, {}).get(name) == value
    assert found.startswith("# head\n")
    assert "# what" in found
    assert "# last" in found
