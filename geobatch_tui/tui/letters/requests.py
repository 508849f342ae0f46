"""Requests to retry dead letters, by the live run or a new one, and to dismiss them with a note."""

from __future__ import annotations

import json
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import StateError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.detached import LOG, Background
from geobatch_tui.orchestration.state import dismissal
from geobatch_tui.tui.run.host import HostedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from geobatch_tui.tui.run.link import RunLink


#: Bytes of names, and letters of some 30 bytes each, in one command: a longer line is refused.
_COMMAND_BYTES: Final = 32 * 1024
_COMMAND_LETTERS: Final = 1000
_TAIL: Final = 20  #: lines that are looked at for the reason of a failure
_SAID: Final = 300


def rerun(
    link: RunLink,
    classes: Sequence[str],
    keys: Sequence[str],
    changes: Sequence[str] = (),
    start: Callable[[Sequence[str], Path], None] | None = None,
    *,
    split: bool = False,
) -> str:
    """Try dead letters again; return a sentence that says how. Blocks for seconds: for a thread.

    Args:
        link: the run.
        classes: only letters of these error classes; empty: of any.
        keys: only these chunks or items, by the ledger's names; empty: all.
        changes: ``KEY=VALUE`` of operational values; only where no run is live.
        start: starts ``geobatch`` in the background with these words; for tests.
        split: in chunks half as wide and half as high; only where no run is live.

    Raises:
        StateError: the console is read-only, the run refused, or none could be started.
    """
    if link.read_only:
        raise StateError("this console is read-only")
    if link.can_steer():
        if changes or split:
            raise StateError(
                "a live run takes no changes", hint="drain it first, then retry with changes"
            )
        said = [
            link.send("retry_dead", classes=list(classes), keys=list(part))
            for part in batches(keys)
        ]
        return said[-1] or "they are tried again in this run"
    if link.host is not None:
        from geobatch_tui.orchestration.api import retry

        chosen = partial(retry, classes=classes, chunks=keys, overrides=changes, split=split)
        directory = link.directory
        again = HostedRun(directory, lambda control: chosen(directory, control=control))
        _replace_host(link, again)
        return "they are tried again"
    words = ["retry", str(link.directory.absolute()), "--json"]
    words += [f"--class={name}" for name in classes]
    words += [f"--chunk={key}" for key in keys]
    words += [f"--set={change}" for change in changes]
    words += ["--split"] if split else []
    (start or start_in_background)(words, link.store.state_root)
    return "a run in the background tries them again"


def _replace_host(link: RunLink, again: HostedRun) -> None:
    """Start a run of this process in place of the one that ended."""
    again.start()
    again.wait_ready()
    if again.failed:
        again.result()
    link.host = again


def batches(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield names in parts that fit a command; one empty part where there are none."""
    part: list[str] = []
    size = 0
    for key in keys:
        length = len(json.dumps(key)) + 2
        if part and size + length > _COMMAND_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(key)
        size += length
    yield tuple(part)


def start_in_background(words: Sequence[str], root: Path) -> None:
    """Start ``geobatch WORDS`` in a session of its own; returns once it holds the run, or has
    already ended well. Its output goes into ``detached.log`` of the state directory ``root``.

    Raises:
        StateError: it ended at once, with what it said.
        OutputGoneError: the state directory cannot be written.
    """
    child = Background.start(words, root)
    code = child.wait()
    # 12 and 15 say that there are dead letters again: the run was started and has ended.
    if code not in (None, 0, 12, 15):
        lines = child.last_words(_TAIL)
        said = next((line for line in reversed(lines) if "error" in line), "".join(lines[-1:]))
        raise StateError(
            f"the run in the background ended with {code}: {said[:_SAID]}",
            hint=f"all that it said is in {safe(str(root / LOG))}",
        )


def dismiss(link: RunLink, letters: Sequence[tuple[int, float]], note: str | None) -> str:
    """Dismiss letters, or take that back; return a sentence. Blocks: for a thread.

    Args:
        link: the run.
        letters: ids and times.
        note: what is known; None takes it back.

    Raises:
        StateError: the console is read-only, the run refused, or the ledger cannot be written.
        LockHeldError: a run has begun meanwhile that takes no commands from here.
    """
    if link.read_only:
        raise StateError("this console is read-only")
    if link.can_steer():
        for part in batched(letters, _COMMAND_LETTERS):
            link.send("dismiss", letters=[list(letter) for letter in part], note=note)
        count = len(letters)
    else:
        count = dismissal.dismiss(link.directory, letters, note)
    many = figures.plural(count, "dead letter")
    return f"{many} {'dismissed' if note is not None else 'as before'}"
