"""Foreign text on a real terminal: whatever file names, messages, the job's name and the log hold,
the terminal is sent no escape but the console's own, on any screen."""

from __future__ import annotations

import base64
import json
import re
import time

import corpus
import pytest
from pseudo_terminal import Terminal

from geobatch_tui import load_job, run_sync
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger

EVIL = (
    "[red]e[/] [@click=app.quit]v[/] [/vsis3/ \x1b]52;c;ZXZpbA==\x07 \x1b[666m \x1b]0;owned\x07"
    "\x9b31m \x1bPq\x1b\\ \u202ebidi\u2066 \u200b %s {0} $x \x00 \r\nil \x1b[2J"
)
#: What a terminal is sent: a sequence, or text. Unknown bytes behind ESC fall to ``rest``.
STREAM = re.compile(
    r"\x1b\[(?P<csi>[0-?]*[ -/]*[@-~])|\x1b\](?P<osc>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|(?P<text>[^\x1b]+)|(?P<rest>\x1b.?)",
    re.DOTALL,
)
#: Sequences of Textual's driver and painter: colours, the cursor's place, modes, and what it asks
#: the terminal for.
OWN = re.compile(
    r"[0-9;]*m|([0-9]+(;[0-9]+)?)?H|[0-9]+[Gb]|[0-9]*[ABCD]"
    r"|\?(7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2048)[hl]"
    r"|\?(2026|2048)\$p|\?2026[hl]|2[23];2t|[<>][0-9]*u|\?u|6n"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over every name of the corpus, half of the files broken; then letters and log lines
    with evil in every field."""
    root = tmp_path_factory.mktemp("evil")
    (root / "in").mkdir()
    for number, raw in enumerate(corpus.NAMES.values()):
        path = corpus.named(root / "in", raw)
        if number % 2 == 0:
            content = bytearray(path.read_bytes())
            offset, length = corpus.tile_ranges(path)[0]
            content[offset : offset + length] = bytes(length)
            path.write_bytes(content)
    job = root / "job.toml"
    text = corpus.job_text([root / "in"], root / "out[red]\x1b[2J", engine={"executor": "thread"})
    job.write_text(text.replace('"corpus"', json.dumps(EVIL).replace("\\u0000", "\\u0001")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(root))
        patch.chdir(root)
        assert run_sync(load_job(job)).exit_code == 12
    state = StateDir.open(root / "out[red]\x1b[2J")
    add_evil(state)
    return root, state


def add_evil(state):
    """Dead letters and log lines with evil in every field."""
    with LedgerReader(state.ledger) as reader:
        items, job = list(reader.items()), reader.run().job
    fields = ("item", "error_message", "stage", "source", "suggestion", "reproduce", "traceback")
    record = dict.fromkeys(fields, EVIL) | {"error_class": f"Corrupt{EVIL}", "window": None}
    evidence = {"gdal": [EVIL], "stderr": EVIL, EVIL: EVIL}
    ledger = Ledger.open(state.ledger, state.output_dir)
    ledger.begin_run("20261125T000000Z-evil", job, {"gdal": EVIL})
    first = next(item for item in items if item.state == lu.ItemState.PUBLISHED)
    ledger.apply(
        [
            lu.DeadLetter(
                first.item_id,
                first.first_chunk,
                3,
                0,
                f"Corrupt{EVIL}",
                record | {"chunk": EVIL, "evidence": evidence, "attempts": 3},
            ),
            lu.RunEnded("partial", 12, EVIL),
        ]
    )
    ledger.close(archive=False)
    with state.log.open("a") as log:
        for level in ("info", "warning", "error", EVIL):
            line = dict.fromkeys(("message", "chunk", "item", "error_class", "error_message"), EVIL)
            line |= {"time": "2026-11-24T12:04:30.123Z", "level": level, EVIL: EVIL}
            log.write(json.dumps(line) + "\n" + EVIL.replace("\n", "") + "\n")


#: The key as terminals with the keyboard protocol send it: a bare ESC and a key that follows it too
#: early for a busy console are one key, Alt and the letter.
ESCAPE = "\x1b[27u"
#: Keys, and a text that must come up, or behind "!" must go, before the next ones are pressed.
WALK = [
    ("u", ""),
    ("2", "Cursor"),
    *(("m", ""),) * 6,  # the map in all its modes
    (">><nn", ""),
    ("3", "Dead letters"),
    ("gg", ""),  # one by one
    *(("j>>>>>>", ""),) * 2,  # each tab of the inspector
    ("j", "unreadable"),  # a preview
    ("a", "marked"),
    ("R", "tried again"),  # what a retry would do
    (ESCAPE, "!tried again"),  # keys behind it in one burst would be none of the screen below
    ("A", "engine.chunk_timeout"),
    (ESCAPE, "!engine.chunk_timeout"),
    ("X", "What is dismissed"),  # a note to dismiss them with
    (ESCAPE, "!What is dismissed"),
    ("e", "Trace ---"),  # all about a letter, by another program
    ("/evil\r", ""),
    (ESCAPE, ""),
    ("4", "lines"),
    (">>G", "ALL"),
    ("w", ""),
    ("\r", "Entry"),
    *(("k", ""),) * 3,
    ("n", ""),
    ("o", "names no chunk"),
    ("5", "Runs"),
    (" j ", "chunks/min"),
    ("c", "as it was run"),
    ("jj", "> inputs"),
    ("\r", 'in"]'),  # their field, with all of the text
    (ESCAPE, '!in"]'),
    ("t", ""),
    ("t", ""),
    ("\x1b[15~", "to do"),  # F5: the plan, on its map
    ("d", ""),
    ("/evil\r", ""),
    (ESCAPE, ""),
    ("\x0f", "Jump"),
    ("click", ""),
    (ESCAPE, ""),
    ("1", "Log"),
    ("\x0f", "Jump"),
    ("[", ""),
    (ESCAPE, ""),
    (":", "Search for commands"),
    ("evil", "!Search for commands"),
    (ESCAPE, "!▔▔▔▔"),
    ("?", "Everywhere"),
    (ESCAPE, "!Everywhere"),
]


def press(shown, keys, awaited):
    """Type keys, and read until their text came and nothing more does; fails if it does not."""
    begin, until = len(shown.output), time.monotonic() + 60
    shown.type(keys.encode())
    shown.read(0.03)
    while shown.read(0.1) or not _has_come(shown, awaited, begin):
        assert time.monotonic() < until, f"no {awaited!r} after {keys!r}:\n" + "\n".join(
            shown.lines()
        )


def _has_come(shown, awaited, begin):
    if awaited.startswith("!"):
        return not shown.shows(awaited[1:])
    # The output since then may be that of another program.
    return shown.shows(awaited) or awaited.encode() in shown.output[begin:]


@pytest.mark.parametrize(
    "size",
    [(160, 30), *(pytest.param(size, marks=pytest.mark.slow) for size in ((80, 24), (160, 48)))],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_evil_text_does_not_drive_the_terminal(run, size):
    """Every screen is visited; what came is taken apart."""
    root, state = run
    shown = Terminal(
        ["-m", "geobatch_tui", "watch", str(state.output_dir)],
        root,
        columns=size[0],
        rows=size[1],
        XDG_STATE_HOME=str(root),
        VISUAL="cat",
    )
    try:
        shown.wait_for(b"Workers")
        for keys, awaited in WALK:
            press(shown, keys, awaited)
        shown.type(b"3yq")
        assert shown.ended() == 0
    finally:
        shown.close()
    painted = shown.output.decode()  # what is no UTF-8 would be a fault, too
    copied, foreign, texts = [], [], []
    for token in STREAM.finditer(painted):
        if token["csi"] is not None:
            if not OWN.fullmatch(token["csi"]) or "666" in token["csi"]:
                foreign.append(token[0])
        elif token["osc"] is not None:
            copied.append(token["osc"])
        elif token["text"] is not None:
            texts.append(token["text"])
        else:
            foreign.append(token[0])
    assert not foreign
    assert not [text for text in texts if not re.sub("[\r\n]", "", text).isprintable()]
    # Beside the pointer's shape, which Textual sets, and titles, what the key y copied.
    titles = [text for text in copied if text.startswith("2;")]
    assert titles
    assert all(text.isprintable() and text.endswith(" — geobatch") for text in titles)
    (clip,) = [text for text in copied if text != "22;default" and text not in titles]
    assert clip.startswith("52;c;")
    assert base64.b64decode(clip[5:]).decode().isprintable()
    seen = "".join(texts)
    # It was really there, as plain text, markup and all.
    assert "[@click=app.quit]" in seen
    assert r"\x1b" in seen
    assert "Traceback" not in (state.root / "console.err").read_text()
