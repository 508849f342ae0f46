from __future__ import annotations

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.config.job_reader import read_job_file
from geobatch_tui.config.toml_lines import key_lines
from geobatch_tui.errors import ConfigError

TOML = '''\
# a = 1
[job]
name = """
[not.a.table]
key = "x"
"""

[ op ] # comment = 1
"dst_crs" = 'EPSG:[1]'
'resampling'="a\\"b # no"
warp.options.one = 1

[output]
creation = { compress = "{x}", blocksize = 512 } # y = 2
dirs = [
  "a = b", # c = 3
  [1, 2],
  { deep = true },
]
when = 2020-01-01 00:00:00
[[many]]
last = 1
'''


def test_lines_of_toml_keys():
    """Each key has the line where it stands, whatever strings and comments look like."""
    assert key_lines(TOML) == {
        "job": 2,
        "job.name": 3,
        "op": 8,
        "op.dst_crs": 9,
        "op.resampling": 10,
        "op.warp": 11,
        "op.warp.options": 11,
        "op.warp.options.one": 11,
        "output": 13,
        "output.creation": 14,
        "output.creation.compress": 14,
        "output.creation.blocksize": 14,
        "output.dirs": 15,
        "output.dirs.deep": 18,
        "output.when": 20,
        "many": 21,
        "many.0": 21,
        "many.0.last": 22,
    }


_VALUE = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc-\"'. é", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text("ab#=[", min_size=1, max_size=3), _VALUE, max_size=4))
def test_every_key_of_any_toml_has_a_line(values):
    """Whatever a TOML file holds, every key is found, on a line that shows its name."""
    text = tomli_w.dumps(values)
    lines = key_lines(text)
    for key in values:
        assert key in {found.split(".")[0] for found in lines} or key in lines
    rows = text.split("\n")
    assert all(1 <= line <= len(rows) for line in lines.values())


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[a]\nx = \n", 2, "not valid TOML"),
        ("[a]\nx = 1\nx = 2\n", 3, "given twice"),
        ("[a]\nx = 1\n[a]\n", 3, "given twice"),
        ("[a\n", 1, "not valid TOML"),
        ('x = "open', 1, "not valid TOML"),
    ],
)
def test_broken_toml_names_its_line(write, text, line, said):
    """A syntax error or a key given twice names file and line."""
    path = write(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_job_file(path)
    assert f"{path}:{line}: " in caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n  x: 1\n  x: 2\n", 3, "a.x is given twice, first on line 2"),
        ("a: [1\n", 2, "not valid YAML"),
        ("a:\n  1: x\n", 2, "not text"),
        ("a: &b [1]\nc: *b\n", 2, "aliases"),
        ("a: !!python/object:os.system x\n", 1, "not valid YAML"),
        ("a: &b [*b]\n", 1, "aliases"),
    ],
)
def test_broken_yaml_names_its_line(write, text, line, said):
    """YAML syntax, doubled keys, keys that are no text, and aliases: each with its line."""
    path = write(text, "job.yaml")
    with pytest.raises(ConfigError, match=said) as caught:
        read_job_file(path)
    assert f"{path}:{line}: " in caught.value.message


def test_yaml_and_toml_read_alike(write):
    """The same job in both languages gives the same values, and lines for its keys."""
    toml = read_job_file(write('[a]\nx = "1"\ny = [1, 2]\n'))
    yaml = read_job_file(write('a:\n  x: "1"\n  y: [1, 2]\n', "job.yml"))
    assert toml.values == yaml.values
    assert toml.lines == {"a": 1, "a.x": 2, "a.y": 3}
    assert yaml.lines == toml.lines
    assert yaml.where("a.y.3.z") == f"{yaml.path}:3"


def test_empty_files_are_empty_jobs(write):
    """An empty file has no values: what is missing is said later, by key."""
    assert read_job_file(write("")).values == {}
    assert read_job_file(write("# nothing\n", "j.yaml")).values == {}


@pytest.mark.parametrize("text", ["- a\n", "just text\n"])
def test_yaml_without_sections_is_refused(write, text):
    """A YAML file that is a list or a word is no job."""
    with pytest.raises(ConfigError, match="mapping"):
        read_job_file(write(text, "j.yaml"))


def test_a_byte_order_mark_is_no_error(write):
    """Files of editors that write a BOM are read."""
    assert read_job_file(write("\ufeff[a]\nx = 1\n")).values == {"a": {"x": 1}}


def test_windows_line_ends_count_once(write):
    """Lines are counted by their ends, also where these are CR LF."""
    assert read_job_file(write("[a]\r\nx = 1\r\n\r\ny = 2\r\n")).lines["a.y"] == 4


def test_files_that_are_no_job(tmp_path, write):
    """Missing, a directory, binary, or huge: each is said, none is a traceback."""
    for path, said in [
        (tmp_path / "none.toml", "no job file"),
        (tmp_path, "cannot read"),
        (write("x = '" + "a" * (1 << 20) + "'", "big.toml"), "1 MiB"),
    ]:
        with pytest.raises(ConfigError, match=said):
            read_job_file(path)
    binary = tmp_path / "bin.toml"
    binary.write_bytes(b"a = 1\nb = \xff\n")
    with pytest.raises(ConfigError, match=r"bin\.toml:2: not UTF-8"):
        read_job_file(binary)


@pytest.mark.parametrize("name", ["job.toml", "job.yaml"])
def test_deep_nesting_is_refused(write, name):
    """Nesting without end is an error of the file, not of the program."""
    with pytest.raises(ConfigError):
        read_job_file(write("a = " + "[" * 100_000 if name == "job.toml" else "[" * 5000, name))


def test_names_of_files_cannot_drive_the_terminal(tmp_path):
    """Control characters in a job file's name are shown, not sent."""
    with pytest.raises(ConfigError) as caught:
        read_job_file(tmp_path / "x\x1b[31m\n.toml")
    assert "\\x1b[31m\\x0a" in caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.toml", "\na = " + "9" * 900_000, 2, "too many digits"),
        ("a.toml", "\n\n" + "a." * 200_000 + "a = 1", 3, "nested too deeply"),
        ("a.toml", "\n" + '"a" . ' * 150_000 + "a = 1", 2, "nested too deeply"),
        ("a.toml", "[" + "a." * 400_000 + "a]", 1, "nested too deeply"),
        ("a.toml", "".join(f"[t{n}]\n" for n in range(80_000)), 10_001, "keys and tables"),
        ("a.toml", "".join(f"k{n}=1\n" for n in range(90_000)), 10_001, "keys and tables"),
    ],
    ids=["digits", "deep key", "deep quoted key", "deep table", "tables", "keys"],
)
def test_a_file_that_would_take_minutes_is_refused(write, name, text, line, said):
    """A megabyte of keys is no job; nor is it read for as long as somebody else likes."""
    with pytest.raises(ConfigError, match=said) as caught:
        read_job_file(write(text, name))
    assert f"{name}:{line}:" in str(caught.value)


def test_what_looks_like_many_keys_in_texts_is_none(write):
    """Strings and comments hold what they like, and a list has many inputs."""
    text = (
        "# "
        + "a = 1\n# [b]\n# " * 9_000
        + '\n[op]\nname = """\n'
        + "a.b = 1\n[c]\n" * 9_000
        + '"""\n'
    )
    text += "[source]\ninputs = [" + "'a=b.tif', " * 20_000 + "]\n" + ".".join("a" * 31) + " = 1"
    assert len(read_job_file(write(text, "a.toml")).values["source"]["inputs"]) == 20_000


def test_a_yaml_file_has_an_end(write, monkeypatch):
    """It is read at some 20,000 values a second: one of a megabyte would take a minute."""
    monkeypatch.setattr("geobatch_tui.config.job_reader.MOST_YAML_VALUES", 1_000)
    with pytest.raises(ConfigError, match=r"a\.yaml:997: more than 1,000 values"):
        read_job_file(write("a:\n" + "- 1\n" * 1_100, "a.yaml"))
