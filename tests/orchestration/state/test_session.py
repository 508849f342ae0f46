"""The session of a run: what it opens, sweeps, forgets and refuses."""

from __future__ import annotations

import os
import stat
from threading import Event
from typing import TYPE_CHECKING

import pytest
from run_project import Project
from scripted_session import done, planned, session_of

from geobatch_tui.errors import LockHeldError, PlanMismatchError, PreflightError, StateError
from geobatch_tui.ledger.place.lock import is_held, read_holder
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.state import session as module
from geobatch_tui.orchestration.state.session import (
    new_run_id,
    probe_output,
    read_suspects,
    reading,
    refuse_file,
    refuse_log,
    state_of_run,
    suspects_path,
)

if TYPE_CHECKING:
    from pathlib import Path


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_a_session_holds_its_directory(tmp_path: Path) -> None:
    """Its lock names the run, and is free once the session is closed."""
    project = Project(tmp_path)
    with session_of(project) as session:
        holder = read_holder(session.state.lock)
        assert holder is not None
        assert (holder.run_id, holder.epoch) == (session.run_id, session.epoch)
        with pytest.raises(LockHeldError), session_of(project):
            pass
    assert not is_held(session.state.lock)
    assert stat.S_IMODE(session.state.root.stat().st_mode) == 0o700


async def test_each_run_has_an_epoch_and_new_ids(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with session_of(project) as first:
        first.put(lu.ItemPlanned(planned(4, 9, 3)))
    with session_of(project) as second:
        assert second.epoch == first.epoch + 1
        assert (second.next_item_id, second.next_chunk_id) == (5, 12)


async def test_fresh_forgets_the_state_and_keeps_the_outputs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with session_of(project) as session:
        session.put(lu.ItemPlanned(planned(1, 1, 3)))
        spool = session.state.work(1) / "1.spool"
        spool.parent.mkdir(parents=True)
        spool.write_bytes(b"x")
        (session.state.works / "notes").mkdir()
    (project.out / "a.tif").write_bytes(b"whole")
    with session_of(project, fresh=True) as session:
        assert session.reader.counts()["total"] == 0
        assert session.epoch == 1
        assert not spool.parent.exists()
        assert (session.state.works / "notes").exists()
    assert (project.out / "a.tif").read_bytes() == b"whole"


async def test_parts_and_probes_of_the_dead_are_swept(tmp_path: Path) -> None:
    """Those of this run, of processes that live, and files of others stay."""
    project = Project(tmp_path)
    with session_of(project):
        pass
    with session_of(project) as session:
        (project.out / "deep").mkdir()
        gone = [
            "deep/.a.dddddddd.1.part",
            f".geobatch-probe-{2**22 + 1}-ab",
            ".geobatch/worker-3.err",
            ".geobatch/.plan.json.0123abcd",
            f".geobatch/.geobatch-probe-{2**22 + 1}-ab",
        ]
        kept = [
            f"deep/.a.dddddddd.{session.epoch}.part",
            "deep/a.part",
            f".geobatch-probe-{os.getpid()}",
            ".geobatch/work/.a.dddddddd.1.part",
        ]
        for name in (*gone, *kept):
            path = project.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        assert session.sweep() == 1
        assert set(gone) & files(project.out) == set()
        assert set(kept) <= files(project.out)
        assert session.sweep_lost() == 1
        assert set(kept) - files(project.out) == {kept[0]}


async def test_spools_that_nobody_needs_are_dropped(tmp_path: Path) -> None:
    """Of items that are published, orphans, or not in the ledger; and the suspects, once looked
    at."""
    with session_of(Project(tmp_path)) as session:
        session.put(lu.ItemPlanned(planned(1, 1, 2)))
        session.put(done(1, 1))
        session.put(lu.ItemPlanned(planned(2, 3, 2)))
        session.put(lu.ItemChanged(2, lu.ItemState.ORPHAN, ""))
        await session.flush()
        for name in ("1", "1.published", "2", "3", "notes"):
            (session.state.works / name).mkdir(parents=True)
        suspects_path(session.state).write_text('{"keys": ["1.tif"]}')
        assert read_suspects(session.state) == {"1.tif"}
        session.drop_leftovers()
        assert {path.name for path in session.state.works.iterdir()} == {"1", "notes"}
        assert read_suspects(session.state) == frozenset()
        session.drop_work(1)
        session.drop_work(1)
        assert not session.state.work(1).exists()


async def test_spools_of_a_published_item_are_removed_beside_the_run(tmp_path: Path) -> None:
    """Those of one that is made anew meanwhile stay; the session ends when all are gone."""
    go_on = Event()
    with session_of(Project(tmp_path)) as session:
        session.remover.submit(go_on.wait)
        work = session.state.work(1)
        for _ in range(2):  # for the second the name is taken, and it is removed at once
            work.mkdir(parents=True)
            (work / "1.spool").write_bytes(b"x")
            session.drop_published(1)
            assert not work.exists()
        session.drop_published(1)
        work.mkdir()
        go_on.set()
    assert [path.name for path in session.state.works.iterdir()] == ["1"]


@pytest.mark.parametrize("text", ["{", "[]", '{"keys": 3}', "{}"])
async def test_suspects_that_cannot_be_read_are_no_all_clear(tmp_path: Path, text: str) -> None:
    with session_of(Project(tmp_path)) as session:
        suspects_path(session.state).write_text(text)
        with pytest.raises(StateError, match=r"suspects\.json"):
            read_suspects(session.state)


def test_run_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [one[:16] for one in ids] == sorted(one[:16] for one in ids)


def test_an_output_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refuse_file(tmp_path / "a/b/c")
    with pytest.raises(PreflightError, match="it is a file"):
        refuse_file(tmp_path / "file")
    with pytest.raises(PreflightError, match="file is a file"):
        refuse_file(tmp_path / "file/below")


def test_an_output_directory_is_written_to_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of that is left, also where it fails."""
    out = tmp_path / "deep/out"
    probe_output(out)
    assert files(tmp_path) == set()

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module.os, "replace", refuse)
    with pytest.raises(PreflightError, match="Read-only file system"):
        probe_output(out)
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "content", "refused"),
    [
        ("run.log", None, False),
        ("run.log", "", False),
        ("notes.log", "of somebody\n", True),
    ],
)
def test_a_log_file_holds_a_log(
    tmp_path: Path, name: str, content: str | None, refused: bool
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    job = Project(tmp_path, values={"log": {"file": str(path)}}).job()
    if refused:
        with pytest.raises(PreflightError, match=r"log\.file"):
            refuse_log(job)
    else:
        refuse_log(job)


def test_a_directory_without_a_run_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place, why in (
        (tmp_path, "no .geobatch directory"),
        (tmp_path / "file", "it is a file"),
        (tmp_path / "none", "there is no such directory"),
    ):
        with pytest.raises(PlanMismatchError, match=why):
            state_of_run(place)
        with reading(place) as reader:
            assert reader is None


async def test_a_state_that_no_run_has_begun_has_no_reader(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with session_of(project):
        pass
    with reading(project.out) as reader:
        assert reader is not None
    (project.out / ".geobatch/ledger.db").unlink()
    with reading(project.out) as reader:
        assert reader is None
