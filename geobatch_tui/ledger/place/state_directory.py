"""The directory of a run's state, ``<output.dir>/.geobatch``: made, checked, and named in."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from geobatch_tui.errors import StateError, UnsafeInputError
from geobatch_tui.execution.stores.output_prefix import OutputPrefix
from geobatch_tui.ledger.place.durable import output_error, write_json_atomic
from geobatch_tui.ledger.place.owner import refuse_foreign, refuse_other_kinds
from geobatch_tui.ledger.place.regular_file import read_json
from geobatch_tui.observability.text import safe

NAME: Final = ".geobatch"
#: Says which store the outputs of a run are in, where they are in one.
_STORE: Final = "store.json"


@dataclass(frozen=True, slots=True)
class StateDir:
    """The state directory of one output directory. ARCHITECTURE.md lists the files in it.

    Attributes:
        output_dir: absolute; of a run into a store, the directory in which outputs are assembled.
        root: ``output_dir/.geobatch``.
        ledger: the database; outside ``root`` where that was asked for.
        prefix: where the outputs go, if that is a store.
    """

    output_dir: Path
    root: Path
    ledger: Path
    prefix: OutputPrefix | None = None

    @classmethod
    def open(
        cls,
        output_dir: Path,
        create: bool = False,  # noqa: FBT001, FBT002
        *,
        local: bool = False,
        prefix: OutputPrefix | None = None,
    ) -> Self:
        """Find the state directory of a job's output directory; ``create`` makes both.

        ``local``: a ledger that is not there yet goes into the user's state directory on this
        machine. ``prefix``: the outputs go to this store, of which ``output_dir`` is the place.

        Raises:
            StateError: there is none, it is no plain directory, or ``create`` finds another user's.
            OutputGoneError, DiskFullError: it can't be made or written.
        """
        output_dir = output_dir.absolute()
        root = make_root(output_dir) if create else output_dir / NAME
        _check(root)
        if create and prefix is not None:
            write_json_atomic(root / _STORE, {"url": str(prefix)})
        ledger = _place_ledger(output_dir, root, create=create, local=local and prefix is None)
        return cls(output_dir, root, ledger, prefix or _prefix_in(output_dir, root))

    @property
    def outputs(self) -> str:
        """Where the outputs are: a directory, or a URL."""
        return str(self.prefix or self.output_dir)

    def named(self, key: str) -> str:
        """Return the final name of an item's output: a path, or a URL. Raises StateError if it
        would not lie where the outputs are."""
        path = output_path(self.output_dir, key)
        return str(path if self.prefix is None else f"{self.prefix}/{key}")

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def log(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def dead(self) -> Path:
        return self.root / "dead"

    @property
    def works(self) -> Path:
        """The parent of all spools."""
        return self.root / "work"

    def work(self, item_id: int) -> Path:
        """Name the directory of one item's spools, which may not be there yet."""
        return self.root / f"work/{item_id}"


def _prefix_in(output_dir: Path, root: Path) -> OutputPrefix | None:
    """Return the prefix in a store that a state directory is of; None: it lies beside its outputs.
    The directory's own name, a digest of the prefix, must agree."""
    try:
        prefix = OutputPrefix.of(str(read_json(root / _STORE)["url"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, UnsafeInputError) as error:
        raise StateError(
            f"{root / _STORE} is damaged: {safe(str(error))}",
            hint="remove it, and run the job file again",
        ) from error
    if prefix.place.resolve() != output_dir.resolve():
        raise StateError(
            f"{output_dir} holds the state of {safe(str(prefix))}, but is not where that is kept",
            hint="move it back, or set XDG_STATE_HOME as it was",
        )
    return prefix


def make_root(output_dir: Path) -> Path:
    """Make the state directory of ``output_dir``, and that too; or find one that is ours.

    Raises:
        StateError: it is no plain directory, or not the user's own.
        OutputGoneError, DiskFullError: it can't be made.
    """
    root = output_dir / NAME
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
    except OSError as error:
        raise output_error(error, output_dir) from error
    _check(root)
    refuse_foreign(root)
    return root


def output_path(output_dir: Path, key: str) -> Path:
    """Return the final path of an item's output, from its key alone.

    Paths in a ledger's row are not obeyed: the directory may have been moved, or be another user's.
    Raises StateError if the path would not lie in ``output_dir``.
    """
    parts = key.split("/")  # as text: it is asked twice for each of many items
    if key.startswith("/") or ".." in parts or all(part in {"", "."} for part in parts):
        raise StateError(
            f"the ledger of {safe(str(output_dir))} names an output outside of it: {safe(key)}",
            hint="`geobatch run JOB --fresh` makes a new ledger",
        )
    return output_dir / key


def _check(root: Path) -> None:
    try:
        mode = root.lstat().st_mode
    except FileNotFoundError:
        raise StateError(
            f"{root.parent} holds no run: there is no {NAME} in it",
            hint="give the output directory of a run",
        ) from None
    except OSError as error:
        raise output_error(error, root.parent) from error
    refuse_other_kinds(mode, str(root))


def _place_ledger(output_dir: Path, root: Path, *, create: bool, local: bool) -> Path:
    """Choose the database's path: in ``root``, so that any machine that sees the outputs can go on
    with them, or in the user's state directory, if a pointer or ``local`` says so."""
    pointer, here, away = root / "ledger.pointer", root / "ledger.db", _away(output_dir)
    if not _is_pointed(pointer, away):
        if not (create and local) or here.exists():
            return here
        try:
            away.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot make {away.parent} for the ledger: {error.strerror}"
            raise StateError(reason) from error
        write_json_atomic(pointer, {"ledger": str(away), "host": os.uname().nodename})
    if create:
        refuse_foreign(away.parent)
    return away


def _away(output_dir: Path) -> Path:
    """Return the path of a ledger that is not kept in its ``output_dir``."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    digest = hashlib.blake2b(os.fsencode(output_dir.resolve()), digest_size=8).hexdigest()
    return Path(home).expanduser() / "geobatch" / digest / "ledger.db"


def _is_pointed(pointer: Path, away: Path) -> bool:
    """Whether there is a pointer to ``away``. It may name nothing else, as that file is written."""
    try:
        body = read_json(pointer)
        path, host = str(body["ledger"]), str(body["host"])
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"cannot read {pointer}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{pointer} is damaged: {error}", hint="remove it, then `geobatch repair DIR`"
        ) from error
    if path == str(away) and away.parent.is_dir():
        return True
    where = "not there" if path == str(away) else f"not where it is kept here, {away}"
    raise StateError(
        f"the ledger of {pointer.parent.parent} is kept on host {safe(host)} as {safe(path)}, "
        f"which is {where}",
        hint=f"run on that host with the same XDG_STATE_HOME, or, as after a move: remove "
        f"{pointer} and use `geobatch repair DIR`",
    )
