"""The section [notify]: what may be written, and what no file may choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui import load_job
from geobatch_tui.config.layers import from_plan_json
from geobatch_tui.config.notify.conditions import Condition, Matter
from geobatch_tui.errors import ConfigError

JOB = '[source]\ninputs = ["a.tif"]\n[op]\nname = "raster.convert"\n[output]\ndir = "out"\n'


def job_of(tmp_path, text, **environ):
    path = tmp_path / "job.toml"
    path.write_text(JOB + text)
    return load_job(path, environ=environ)


@pytest.mark.parametrize(
    ("text", "matter", "limit"),
    [
        ("end", Matter.END, 0),
        ("dead>10", Matter.DEAD, 10),
        (" Stall > 1m30s ", Matter.STALL, 90),
        ("disk<5GB", Matter.DISK, 5e9),
        ("disk<512MiB", Matter.DISK, 2**29),
    ],
)
def test_conditions_are_read_and_written(text, matter, limit):
    """As people write them; what is written is read as the same."""
    found = Condition.parse(text)
    assert (found.matter, found.limit) == (matter, limit)
    assert Condition.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stal>60s", "did you mean 'stall'?"),
        ("dead<10", "did you mean 'dead>10'?"),
        ("disk", "did you mean 'disk<5GB'?"),
        ("end>1", "did you mean 'end'?"),
        ("dead>ten", "a number of dead letters"),
        ("stall>0", "more than 0"),
        ("disk<5 parsecs", "5 parsecs"),
        ("; rm -rf", 'write "end"'),
        ("weather", "known: dead, disk, end, stall"),
    ],
)
def test_a_wrong_condition_is_refused_with_the_right_one(text, said, tmp_path):
    """Exit code 2, with the line of the job file."""
    with pytest.raises(ConfigError, match=r"notify\.on") as refused:
        job_of(tmp_path, f"[notify]\non = ['{text}']\n")
    assert said in refused.value.message
    assert "job.toml:8" in refused.value.message
    assert refused.value.exit_code == 2


@given(st.sampled_from(["stall>", "disk<"]), st.integers(1, 10**14))
def test_any_limit_comes_back(head, limit):
    """Sizes and durations keep their value through a job file."""
    found = Condition.parse(f"{head}{limit}")
    assert Condition.parse(str(found)).limit == limit


def test_defaults_and_one_word(tmp_path):
    """The end is told of; one condition needs no list; none is allowed."""
    assert job_of(tmp_path, "").job.notify.on == ("end",)
    assert job_of(tmp_path, '[notify]\non = "stall>60s"\n').job.notify.stall == 60.0
    assert job_of(tmp_path, "[notify]\non = []\n").job.notify.conditions == ()


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "https://", "https://me:word@host/x", "file:///etc/passwd", "host/x"]
)
def test_only_the_web_is_a_webhook(tmp_path, url):
    with pytest.raises(ConfigError, match="must be an http or https URL"):
        job_of(tmp_path, f'[notify]\nwebhook = "{url}"\n')


def test_a_token_is_never_a_value(tmp_path):
    with pytest.raises(ConfigError, match="must name a variable") as refused:
        job_of(tmp_path, '[notify]\ntoken = "hunter2"\n')
    assert "hunter2" not in str(refused.value)


def test_a_job_file_runs_no_program_unless_its_reader_allows_it(tmp_path):
    """The environment and the command line are the user's own; a file may be somebody else's."""
    text = '[notify]\ncommand = "say hello"\n'
    with pytest.raises(ConfigError, match=r"a job file runs no program.*allow_code"):
        job_of(tmp_path, text)
    allowed = job_of(tmp_path, text, GEOBATCH_SOURCE__ALLOW_CODE="true")
    assert allowed.job.notify.command == "say hello"
    own = job_of(tmp_path, "", GEOBATCH_NOTIFY__COMMAND="say hello")
    assert own.job.notify.command == "say hello"


def test_no_record_of_a_run_says_where_to_send_to(tmp_path, monkeypatch):
    """plan.json may have come with a directory: only the environment names program and place."""
    environ = {
        "GEOBATCH_NOTIFY__COMMAND": "evil",
        "GEOBATCH_NOTIFY__WEBHOOK": "https://evil/?key=1",
    }
    kept = job_of(tmp_path, '[notify]\non = ["dead>3"]\nbell = true\n', **environ).to_json()
    again = from_plan_json(kept)
    assert (again.job.notify.command, again.job.notify.webhook) == ("", "")
    assert again.job.notify.on == ("dead>3",)
    assert not again.redacted
    monkeypatch.setenv("GEOBATCH_NOTIFY__WEBHOOK", "https://mine/x")
    assert from_plan_json(kept).job.notify.webhook == "https://mine/x"
