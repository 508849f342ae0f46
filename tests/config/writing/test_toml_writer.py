from __future__ import annotations

import os
import stat
import tomllib

import pytest

from geobatch_tui.config.loaded_job import rows
from geobatch_tui.config.writing.toml_writer import comments, job_toml, write_job
from geobatch_tui.errors import ConfigError


def test_rows_tell_value_layer_and_meaning(load):
    """Each effective value is a row with its layer, place, unit, help and kind."""
    loaded = load(overrides=["engine.max_workers=3", "output.creation.level=9"])
    found = {row.key: row for row in rows(loaded)}
    assert list(found) == list(loaded.origins)
    row = found["engine.max_workers"]
    assert (row.value, row.layer, row.unit, row.kind) == (3, "flag", "workers", "operational")
    assert row.help
    assert found["output.creation.level"].kind == "semantic"
    assert found["engine.memory_budget"].value == "auto"
    assert row.to_json()["where"] == "--set engine.max_workers"


def test_rows_hide_credentials(load):
    """What is shown never holds a secret."""
    loaded = load(overrides=["op.api_token=canary", "source.inputs=https://u:canary@h/x"])
    assert "canary" not in repr(rows(loaded))


@pytest.mark.parametrize("defaults", [False, True])
def test_a_written_job_loads_as_the_same(load, tmp_path, defaults):
    """Writing and loading give an equal job, with and without its defaults."""
    loaded = load(
        overrides=[
            "engine.chunk_timeout=90s",
            "failures.max_failures=2.5%",
            'output.creation={compress="zstd", tiled=true}',
            "op.resolution=[10, 20.5]",
            'job.name=a"b',
        ]
    )
    path = tmp_path / "again.toml"
    write_job(loaded.job, path, defaults=defaults)
    assert load(path.read_text()).job == loaded.job
    assert list(tmp_path.glob(".*part")) == []


def test_defaults_are_left_out(load):
    """A job file says what differs from the defaults, and what has none."""
    assert set(tomllib.loads(job_toml(load().job))) == {"job", "source", "op", "output"}


def test_a_file_keeps_its_permissions(load, tmp_path):
    """Writing over a job file leaves its mode; a new one gets that of the umask."""
    path = tmp_path / "j.toml"
    write_job(load().job, path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o600)
    write_job(load().job, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_written_is_said(load, tmp_path):
    """No directory, or a path that TOML cannot hold: an error, and nothing half-written."""
    with pytest.raises(ConfigError, match="cannot write"):
        write_job(load().job, tmp_path / "none" / "j.toml")
    job = load(flags={"output.dir": os.fsdecode(b"/o\xff")}).job
    with pytest.raises(ConfigError, match="UTF-8"):
        write_job(job, tmp_path / "k.toml")
    assert not (tmp_path / "k.toml").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 0),
        ("a = 1 # one\n# two\n  # three", 3),
        ("a = 'x # y' # one", 1),
        ('a = "x \\" # y"', 0),
        ('a = """\n# no\n\\""" # no\n""" # one', 1),
        ("a = '''\n# no \\''' # one", 1),
        ("a = '' # one\nb = \"\" # two", 2),
        ('inputs = [  # one\n  "a#b.tif",  # two\n]', 2),
    ],
)
def test_comments_are_counted(text, found):
    """What begins with # inside a text is none."""
    assert comments(text) == found
