"""Commands of the user's own: what they may say, and that names stay names."""

from __future__ import annotations

import json
import sys

import pytest
from scripted_run import asked, until

from geobatch_tui.errors import ConfigError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.tui.console.app import GeobatchApp
from geobatch_tui.tui.parts.user_commands import UserCommand, commands_path, load_commands
from geobatch_tui.tui.run.link import RunLink


@pytest.fixture
def written(tmp_path, monkeypatch):
    """``written(text)``: the user's file of commands."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(text):
        commands_path().parent.mkdir(parents=True, exist_ok=True)
        commands_path().write_text(text)

    return write


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("title = 'a'", "run is missing"),
        ("run = 'ls'", "title is missing"),
        ("title = 'a'\nrun = 'ls {file}'", "{file} is no placeholder"),
        ("title = 'a'\nrun = '{input}'", "the program must be named"),
        ("title = 'a'\nrun = 'ls \"'", "no command line"),
        ("title = 'a'\nrun = '''sh -c \"ls {input}\"'''", "filled into code for sh"),
        ("title = 'a'\nrun = '''env /bin/bash -ec \"ls {item}\"'''", "filled into code for bash"),
        ("title = 'a'\nrun = '''python3.12 -c \"print('{item}')\"'''", "filled into code"),
        ("title = 'a'\nrun = 'ssh far rm {input}'", "ssh takes names for code"),
        ("title = 'a'\nrun = 'ls'\nwhere = ['moon']", "where must be a list of config"),
        ("title = 'a'\nrun = 'ls'\nconfirm = 'yes'", "confirm must be true or false"),
        ("title = 'a'\nrun = 'ls'\nkey = 'P'", "the key P has a meaning"),
        ("title = 'a'\nrun = 'ls'\nkey = '/'", "the key / has a meaning"),
        ("title = 'a'\nrun = 'ls'\nshell = true", "unknown key shell"),
    ],
)
def test_what_is_wrong_is_a_sentence(written, row, said):
    """And the commands beside it can be used."""
    written(f"[[command]]\n{row}\n[[command]]\ntitle = 'good'\nrun = 'ls {{dir}}'\n")
    found = load_commands({})
    assert len(found.problems) == 1
    assert said in found.problems[0]
    assert found.commands[-1].words == ("ls", "{dir}")


@pytest.mark.parametrize("text", ["[[command", "[commands]\nls = 'ls'\n", "\xff"])
def test_a_file_that_is_none_is_one_sentence(written, text):
    written("")
    commands_path().write_bytes(text.encode("latin-1"))
    found = load_commands({})
    assert not found.commands
    assert str(commands_path()) in found.problems[0]


EVIL = ("$(touch x)", "a b; rm -rf ~", "{dir}", "'\"`\n\x1b[2J", "日本 [red]")


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_a_part_of_one_argument(name):
    """Placeholders are filled once, after the text was split."""
    command = UserCommand("c", ("x", "{item}", "--file={item}", "{{}}"))
    assert command.filled({"item": name, "dir": "/d"}) == ["x", name, f"--file={name}", "{}"]


def test_a_name_is_no_option():
    command = UserCommand("c", ("x", "{item}"))
    with pytest.raises(ConfigError, match="begins as an option does"):
        command.filled({"item": "-rf"})
    assert UserCommand("c", ("x", "--", "{item}")).filled({"item": "-rf"})[-1] == "-rf"
    with pytest.raises(ConfigError, match=r"there is no \{input\} here"):
        UserCommand("c", ("x", "{input}")).filled({"item": "a"})


@pytest.mark.asyncio
async def test_a_key_runs_a_command_on_what_the_cursor_is_on(written, script, tmp_path):
    """With the names themselves, after a question that shows it; and the help and the palette know
    it."""
    code = "import json,sys;json.dump(sys.argv[2:],open(sys.argv[1],'w'))"
    written(
        f"[[command]]\ntitle = 'Write'\nkey = 'f8'\nconfirm = true\nrun = '''{sys.executable}"
        f" -c \"{code}\" {tmp_path}/got {{dir}} {{input}} {{unit}}'''\n"
        "[[command]]\ntitle = 'Fail'\nkey = 'f9'\nrun = '''sh -c 'echo no; exit 3' '''\n"
    )
    script.plan(1, 1, 2, 2)
    script.done(1)
    link = RunLink(script.state.output_dir)
    link.poll()
    app = GeobatchApp(link, period=None)
    said = []
    async with app.run_test(size=(100, 30)) as pilot:
        app.notify = lambda text, **_: said.append(text)
        app.poll()
        await pilot.press("7")
        await until(lambda: app.screen.query("UnitTable") and app.screen.target().item_id)
        await pilot.press("f8")
        await asked(app)
        await pilot.press("down", "enter")
        await until(lambda: "done" in said)
        await pilot.press("f9")
        await until(lambda: len(said) > 1)
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Write" in str(app.screen.query("#help .help-list").last().content)
    link.close()
    assert said[-1] == "exit code 3: no"
    got = json.loads((tmp_path / "got").read_text())
    with LedgerReader(script.state.ledger) as reader:
        item = reader.item(1)
    assert got[:2] == [str(script.state.output_dir), item.source]
    assert got[2].startswith(f"{item.key}@")
