"""Whole runs: what is done, what is redone, and why. Workers are threads where it is the engine that
decides, and real processes elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from run_project import Project

import geobatch_tui
from geobatch_tui.config.schema import Job, dump_job
from geobatch_tui.errors import (
    ConfigError,
    LedgerCorruptError,
    LockHeldError,
    PlanMismatchError,
    PreflightError,
    StateError,
)
from geobatch_tui.ledger.place import owner
from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import database
from geobatch_tui.orchestration.run.control import Control
from geobatch_tui.orchestration.run.monitor import Monitor
from geobatch_tui.orchestration.run.plan_phase import PlanPhase
from geobatch_tui.orchestration.state import leavings, session
from geobatch_tui.orchestration.state.session import probe_output
from geobatch_tui.testing.ops import FAULTY

threaded = partial(Project, executor="thread")


def audit(project: Project) -> list[str]:
    with LedgerReader(project.out / ".geobatch/ledger.db") as reader:
        return reader.audit()


async def test_a_run_publishes_and_the_next_does_nothing(tmp_path: Path) -> None:
    """Everything is done once; the second run finds it current."""
    project = Project(tmp_path, inputs=["a.tif", "b.tif"])
    first = await project.run()
    assert (first.exit_code, first.counts["done"], first.items["published"]) == (0, 20, 2)
    before = project.tree()
    second = await project.run()
    assert (second.exit_code, second.counts["done"], second.counts["current"]) == (0, 0, 20)
    assert project.tree() == before
    assert await project.reasons() == {"current": 20}
    assert audit(project) == []


async def test_an_observer_that_fails_between_the_phases_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan's dispatcher is over and the work's not begun: the error is raised all the same."""
    project = threaded(tmp_path)
    planned = PlanPhase.run

    async def struck(phase: PlanPhase, *arguments: Any, **options: Any) -> Any:
        result = await planned(phase, *arguments, **options)
        blow.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return result

    async def observe(_monitor: Monitor, _observe: object) -> None:
        await blow.wait()
        raise ZeroDivisionError("an observer's")

    blow = asyncio.Event()
    monkeypatch.setattr(PlanPhase, "run", struck)
    monkeypatch.setattr(Monitor, "observe", observe)
    with pytest.raises(ZeroDivisionError, match="an observer's"):
        await project.run(observe=lambda _: None)
    assert project.tree() == {}


async def test_a_dead_chunk_holds_its_item_alone(tmp_path: Path) -> None:
    """One bad chunk: its item is held, the other published, exit 12, evidence on file."""
    project = Project(
        tmp_path, inputs=["a.tif", "b.tif"], op={"faults": {"raise": [3]}, "only_key": "a.tif"}
    )
    result = await project.run()
    assert (result.exit_code, result.state) == (12, "partial")
    assert result.items == {"total": 2, "published": 1, "held": 1, "dead": 0}
    (letter,) = geobatch_tui.open_run(project.out).dead_letters()
    assert (letter["chunk"], letter["error_class"]) == ("a.tif@0,3", "OperationError")
    assert "ZeroDivisionError" in letter["traceback"]
    assert list(project.tree()) == ["b.tif"]
    assert audit(project) == []


async def test_dead_letters_stay_until_they_are_retried(tmp_path: Path) -> None:
    """A plain rerun leaves them; --retry-dead runs just them; the bytes are those of a good run."""
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    good = threaded(tmp_path / "good", op={"bytes": 100})
    await good.run()
    project = threaded(tmp_path / "bad", op={"bytes": 100})
    assert (await project.run(op={"faults": {"raise": [3]}})).exit_code == 12
    again = await project.run()
    assert (again.exit_code, again.counts["done"], again.counts["dead"]) == (12, 0, 1)
    assert await project.reasons() == {"current": 9, "was_failed": 1}
    retried = await project.run(retry_dead=True)
    assert (retried.exit_code, retried.counts["done"], retried.counts["current"]) == (0, 1, 9)
    assert project.tree() == good.tree()


async def test_retry_takes_the_job_from_the_run(tmp_path: Path) -> None:
    """``geobatch retry DIR`` needs no job file, and selects by class and by chunk."""
    state = tmp_path / "state"
    state.mkdir()
    project = threaded(
        tmp_path,
        op={"faults": {"raise": [3, 5]}, "times": 2, "state_dir": str(state)},
        values={"retry": {"max_attempts": 2}},
    )
    assert (await project.run()).counts["dead"] == 2
    none = await geobatch_tui.retry(project.out, classes=["CrsError"])
    assert none.counts["dead"] == 2
    one = await geobatch_tui.retry(project.out, chunks=["a.tif@0,3"])
    assert (one.counts["dead"], one.counts["done"]) == (1, 1)
    rest = await geobatch_tui.retry(project.out)
    assert (rest.exit_code, rest.counts["dead"]) == (0, 0)


async def test_outputs_are_where_the_state_is(tmp_path: Path) -> None:
    """Of a directory that was moved, and of one whose ledger and plan name others."""
    project = threaded(
        tmp_path,
        op={"faults": {"raise": [3]}, "times": 1, "state_dir": str(tmp_path)},
        values={"retry": {"max_attempts": 1}},
        inputs=["a.tif", "b.tif"],
    )
    assert (await project.run()).counts["dead"] == 2
    moved, victim = tmp_path / "moved", tmp_path / "victim"
    project.out.rename(moved)
    victim.write_text("mine")
    with closing(sqlite3.connect(moved / ".geobatch" / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE item SET out_path = ? WHERE key = 'b.tif'", (str(victim),))
    ledger.close()
    assert (await geobatch_tui.retry(moved)).exit_code == 0
    assert victim.read_text() == "mine"
    assert not project.out.exists()
    assert {path.name for path in moved.glob("*.tif")} == {"a.tif", "b.tif"}
    assert await geobatch_tui.verify(moved) == {"checked": 2, "damaged": []}
    project.values["output"] = {"dir": str(moved)}
    assert await project.reasons() == {"current": 20}
    (moved / "a.tif").write_text("")
    suspects = moved / ".geobatch" / "suspects.json"
    suspects.parent.chmod(0o777)  # as if it were another user's: it is read, and nothing is left
    assert (await geobatch_tui.verify(moved))["damaged"] == [str(moved / "a.tif")]
    assert not suspects.exists()
    suspects.parent.chmod(0o700)
    assert (await geobatch_tui.verify(moved))["damaged"] == [str(moved / "a.tif")]
    assert suspects.exists()


def test_the_probe_of_the_output_follows_no_link(tmp_path: Path, monkeypatch) -> None:
    """Nobody can know its name; and what lies there is left alone."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "f")
    for name in ("f", str(os.getpid()), f"{os.getpid()}-f"):
        (tmp_path / f".geobatch-probe-{name}").symlink_to(victim)
    with pytest.raises(PreflightError, match="exists"):
        probe_output(tmp_path)
    assert victim.read_text() == "mine"
    monkeypatch.undo()
    probe_output(tmp_path)
    assert victim.read_text() == "mine"


async def test_links_in_the_output_directory_lead_to_another_disk(tmp_path: Path) -> None:
    """The user's own are followed, one behind the other, by confined workers too."""
    project = Project(tmp_path, inputs=[])
    project.values["source"] = {"inputs": [str(tmp_path / "in")]}
    for folder in ("in/2024/01", "in/2025", "big", "bigger", "out/2025"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("2024/a.tif", "2024/01/b.tif", "2025/c.tif"):
        (tmp_path / "in" / name).write_text(name)
    (project.out / "2024").symlink_to(tmp_path / "big")
    (tmp_path / "big" / "01").symlink_to("../bigger")
    result = await project.run()
    assert (result.exit_code, result.items["published"]) == (0, 3)
    assert sorted(path.name for path in (tmp_path / "big").iterdir()) == ["01", "a.tif"]
    assert [path.name for path in (tmp_path / "bigger").iterdir()] == ["b.tif"]


async def test_a_ledger_names_no_spool_elsewhere(tmp_path: Path) -> None:
    """What it names is read into the output."""
    project = threaded(
        tmp_path, op={"faults": {"raise": [3]}, "times": 1, "state_dir": str(tmp_path)}
    )
    project.values["retry"] = {"max_attempts": 1}
    await project.run()
    with closing(sqlite3.connect(project.out / ".geobatch" / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE spool SET name = '/etc/' || name")
    ledger.close()
    with pytest.raises(StateError, match="names a spool"):
        await geobatch_tui.retry(project.out)


async def test_the_extra_log_is_a_log(tmp_path: Path) -> None:
    """Of a job file: by its name too, as what it makes anew may be a shell's start-up file; it is
    refused before anything is written, and never taken from what lies on disk."""
    project = threaded(
        tmp_path, op={"faults": {"raise": [3]}, "times": 1, "state_dir": str(tmp_path)}
    )
    project.values["retry"] = {"max_attempts": 1}
    (tmp_path / ".bashrc").write_text("A=1\n")
    (tmp_path / "link.log").symlink_to(tmp_path / ".bashrc")
    job_file = tmp_path / "job.toml"
    for name, by_flag in ((".bashrc", True), (".profile", False), ("link.log", False)):
        job = project.job()
        text = tomli_w.dumps(dump_job(job.job) | {"log": {"file": "" if by_flag else name}})
        job_file.write_text(text)
        loaded = geobatch_tui.load_job(
            job_file, overrides=[f"log.file={tmp_path / name}"] if by_flag else []
        )
        with pytest.raises(PreflightError, match=r"log\.file"):
            await geobatch_tui.run(loaded)
    assert not project.out.exists()
    assert (tmp_path / ".bashrc").read_text() == "A=1\n"
    project.values["log"] = {"file": str(tmp_path / "batch.jsonl")}
    assert (await project.run()).counts["dead"] == 1
    written = (tmp_path / "batch.jsonl").read_bytes()
    assert written.startswith(b'{"time":')
    assert (await geobatch_tui.retry(project.out)).exit_code == 0
    assert (tmp_path / "batch.jsonl").read_bytes() == written


async def test_retry_refuses_what_would_make_outputs_stale(tmp_path: Path) -> None:
    """A semantic change belongs into the job file."""
    project = threaded(tmp_path)
    await project.run()
    with pytest.raises(ConfigError, match=r"op\.bytes"):
        await geobatch_tui.retry(project.out, overrides=["op.bytes=7"])


async def test_holes_are_filled_on_request(tmp_path: Path) -> None:
    """``on_dead_chunk = fill`` publishes without the dead chunk and says so; still exit 12."""
    project = threaded(
        tmp_path, op={"faults": {"raise": [3]}}, values={"output": {"on_dead_chunk": "fill"}}
    )
    result = await project.run()
    assert (result.exit_code, result.items["published"]) == (12, 1)
    with LedgerReader(project.out / ".geobatch/ledger.db") as reader:
        (item,) = reader.items()
    assert item.facts["holes"] == 1


async def test_a_held_item_is_published_once_holes_may_be_filled(tmp_path: Path) -> None:
    """The operator changes the policy and runs again: nothing is computed, the item appears."""
    project = threaded(tmp_path, op={"faults": {"raise": [3]}})
    assert (await project.run()).items["held"] == 1
    project.values = {"output": {"on_dead_chunk": "fill"}}
    result = await project.run()
    assert (result.counts["done"], result.items["published"], result.items["held"]) == (0, 1, 0)


async def test_reasons_name_what_changed(tmp_path: Path) -> None:
    """Each cause of a rerun has its own name, before it happens."""
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    assert await project.reasons() == {"new": 20}
    await project.run()
    assert await project.reasons(milliseconds=1) == {"current": 20}
    assert await project.reasons(bytes=65) == {"param_changed": 20}
    project.source("a.tif").write_bytes(b"other")
    assert await project.reasons() == {"source_changed": 10, "current": 10}
    project.output("b.tif").unlink()
    assert await project.reasons() == {"source_changed": 10, "output_missing": 10}
    result = await project.run()
    assert (result.exit_code, result.counts["done"]) == (0, 20)
    body = bytearray(project.output("a.tif").read_bytes())
    body[-1] ^= 1
    project.output("a.tif").write_bytes(body)
    assert await project.reasons() == {"output_damaged": 10, "current": 10}


async def test_the_ledger_keeps_no_credentials(tmp_path: Path) -> None:
    """Of parameters neither: a digest tells that one changed, and no value is kept."""
    project = Project(tmp_path, values={"source": {"layer": "https://bob:hunter2@host/x"}})
    await project.run()
    kept = [path for path in (project.out / ".geobatch").iterdir() if path.is_file()]
    assert not [path.name for path in kept if b"hunter2" in path.read_bytes()]
    assert await project.reasons() == {"current": 10}
    project.values["source"]["layer"] = "https://bob:hunter3@host/x"
    assert await project.reasons() == {"param_changed": 10}


async def test_param_changed_names_the_parameter(tmp_path: Path) -> None:
    """``--explain`` says which one."""
    project = threaded(tmp_path)
    await project.run()
    report = await geobatch_tui.plan(project.job(bytes=65))
    assert {detail for _, _, detail in report.explain()} == {"op.bytes"}


async def test_stale_chunks_are_counted_by_the_value_that_changed(tmp_path: Path) -> None:
    """Each value with all chunks that it makes stale; values that change no bytes are not there."""
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    await project.run()
    project.inputs.append("c.tif")
    project.source("c.tif").write_bytes(b"c")
    project.values = {"log": {"level": "debug"}}
    report = await geobatch_tui.plan(project.job(bytes=65, milliseconds=1))
    assert report.to_json()["changed"] == {"op.bytes": 20}
    report = await geobatch_tui.plan(project.job(bytes=65, chunks=4))
    assert report.to_json()["changed"] == {"op.bytes": 8, "op.chunks": 8}
    assert report.to_json()["reasons"] == {"param_changed": 8, "new": 4}


async def test_a_parameter_that_an_upgrade_brought_is_no_change_of_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody changed it: the code did; but a value that is another one is named."""
    project = threaded(tmp_path)
    semantic = Job.semantic

    def older(job: Job) -> dict[str, Any]:
        values = semantic(job)
        return {**values, "op": {k: v for k, v in values["op"].items() if k != "bytes"}}

    with monkeypatch.context() as patch:
        patch.setattr(Job, "semantic", older)
        patch.setattr(FAULTY, "version", FAULTY.version - 1, raising=False)
        await project.run()
    assert await project.reasons() == {"code_changed": 10}
    report = await geobatch_tui.plan(project.job(chunks=4))
    assert report.to_json()["changed"] == {"op.chunks": 4}


async def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    """But not the probe of a process that lives, nor what bears another name."""
    project = threaded(tmp_path)
    state = project.out / ".geobatch"
    state.mkdir(parents=True, mode=0o700)
    gone = [project.out / f".geobatch-probe-{2**22 + 1}", state / ".plan.json.0123abcd"]
    gone += [
        project.out / f".geobatch-probe-{2**22 + 1}-{'0a' * 8}-renamed",
        state / "worker-7.err",
    ]
    stays = [project.out / ".geobatch-probe-1", project.out / ".geobatch-probe-x", state / ".mine"]
    for path in (*gone, *stays):
        path.write_bytes(b"")
    full = project.out / f".geobatch-probe-{2**22 + 2}-0a"
    gone.append(project.out / f".geobatch-probe-{2**22 + 1}-0a")
    stays.append(full / "mine")
    gone[-1].mkdir()
    stays[-1].mkdir(parents=True)
    assert (await project.run()).exit_code == 0
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stays)


def test_a_probe_for_the_owner_bears_a_name_that_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process that made it was killed before it removed it."""
    monkeypatch.setattr(Path, "rmdir", lambda _: None)
    owner._made_now(tmp_path / "state")
    (left,) = tmp_path.iterdir()
    match = leavings.PROBE.fullmatch(left.name)
    assert match
    assert match[1] == str(os.getpid())


async def test_spools_of_an_input_that_left_are_swept(tmp_path: Path) -> None:
    """If it comes back, they are made again."""
    project = threaded(
        tmp_path,
        inputs=["a.tif", "b.tif"],
        op={"faults": {"raise": [3]}, "only_key": "b.tif"},
    )
    assert (await project.run()).items["held"] == 1
    assert len(list((project.out / ".geobatch/work").glob("*/*.spool"))) > 0
    project.inputs = ["a.tif"]
    assert (await project.run()).exit_code == 0
    assert list((project.out / ".geobatch/work").glob("*")) == []
    project.inputs = ["a.tif", "b.tif"]
    assert (await project.run()).items["held"] == 1
    result = await project.run(op={"faults": {}}, retry_dead=True)
    assert (result.exit_code, result.items["published"]) == (0, 2)
    assert audit(project) == []


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "gpfs"])
async def test_on_a_network_filesystem_any_node_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Whatever HOME is: the ledger lies beside the outputs, kept by a rollback journal."""
    seen = set()
    monkeypatch.setattr(database, "type_of", lambda path: seen.add(path) or kind)
    monkeypatch.setattr(session, "type_of", lambda _path: kind)
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    for node in ("1", "2"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / node))
        result = await project.run(op={"faults": {"raise": [3]} if node == "1" else {}})
        assert result.exit_code == 12
    result = await project.run(retry_dead=True)
    assert (result.exit_code, result.counts["done"], result.counts["current"]) == (0, 2, 18)
    assert seen == {project.out / ".geobatch"}
    assert audit(project) == []
    assert not list((project.out / ".geobatch").glob("ledger.*[!b]"))
    lines = (project.out / ".geobatch/log.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1])["event"] == "run.ledger"
    assert kind in json.loads(lines[1])["message"]


async def test_a_ledger_of_this_machine_is_no_other_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node is told where it is, and does not begin anew."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "1"))
    project = threaded(tmp_path, values={"output": {"state": "local"}})
    assert (await project.run()).exit_code == 0
    assert not (project.out / ".geobatch/ledger.db").exists()
    project.values = {}  # the pointer leads there, whatever the job says
    assert (await project.run()).counts["current"] == 10
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "2"))
    with pytest.raises(StateError, match="kept on host"):
        await project.run()


async def test_touching_changes_nothing(tmp_path: Path) -> None:
    """New times on a source or an output, with the same bytes, redo nothing."""
    project = threaded(tmp_path)
    await project.run()
    for path in (project.source("a.tif"), project.output()):
        os.utime(path, ns=(10**18, 10**18))
    assert await project.reasons() == {"current": 10}
    assert (await project.run()).counts["done"] == 0


async def test_a_source_that_is_gone_leaves_its_output_alone(tmp_path: Path) -> None:
    """Inputs may be archived after they were processed."""
    project = threaded(tmp_path)
    await project.run()
    project.source("a.tif").unlink()
    result = await project.run()
    assert (result.exit_code, result.counts["current"]) == (0, 10)


async def test_a_missing_source_is_a_dead_letter(tmp_path: Path) -> None:
    """It costs its own item, not the batch."""
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    project.source("a.tif").unlink()
    result = await project.run()
    assert (result.exit_code, result.items["published"], result.items["dead"]) == (12, 1, 1)
    again = await project.run()
    assert (again.exit_code, again.counts["dead"]) == (12, 1)
    assert len(list(geobatch_tui.open_run(project.out).dead_letters())) == 1
    project.source("a.tif").write_bytes(b"back")
    result = await project.run()
    assert (result.exit_code, result.items["published"]) == (0, 2)


async def test_inputs_that_are_no_files_are_dead_letters(tmp_path: Path) -> None:
    """A pipe is not waited for, nor a VRT's; others go on. An output that became one is damaged."""
    project = threaded(tmp_path, inputs=["a.tif"])
    os.mkfifo(tmp_path / "b.tif")
    os.mkfifo(tmp_path / "c.vrt")
    (tmp_path / "d.tif").symlink_to("/dev/zero")
    (tmp_path / "e.tif").symlink_to("gone")
    project.inputs += ["b.tif", "c.vrt", "d.tif", "e.tif"]
    result = await project.run()
    assert (result.items["published"], result.items["dead"]) == (1, 4)
    letters = list(geobatch_tui.open_run(project.out).dead_letters())
    assert sorted(letter["error_class"] for letter in letters) == [
        "SourceNotFoundError",
        *["UnsafeInputError"] * 3,
    ]
    assert sum("not a regular file" in letter["error_message"] for letter in letters) == 3
    project.output("a.tif").unlink()
    os.mkfifo(project.output("a.tif"))
    assert (await geobatch_tui.verify(project.out))["damaged"] == [str(project.output("a.tif"))]


async def test_inputs_that_left_are_orphans(tmp_path: Path) -> None:
    """Their outputs stay, are named, and come back to life with their input."""
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    await project.run()
    project.inputs = ["a.tif"]
    result = await project.run()
    assert result.counts["total"] == 10
    assert any("b.tif" in warning for warning in result.warnings)
    assert project.output("b.tif").exists()
    project.inputs = ["a.tif", "b.tif"]
    result = await project.run()
    assert (result.counts["current"], result.counts["done"]) == (20, 0)


async def test_a_foreign_file_is_not_replaced(tmp_path: Path) -> None:
    """What geobatch did not make stands in the way, unless the job says overwrite."""
    project = threaded(tmp_path)
    project.out.mkdir()
    project.output().write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(PreflightError, match="in the way"):
            await project.run()
    assert project.output().read_bytes() == b"mine"
    project.values = {"output": {"if_exists": "overwrite"}}
    assert (await project.run()).exit_code == 0
    assert project.output().read_bytes() != b"mine"


async def test_outputs_that_exist_fail_a_job_that_asks_for_it(tmp_path: Path) -> None:
    """Whoever made them; those of the job's own ledger are no others. Repair takes them up."""
    project = threaded(tmp_path, values={"output": {"if_exists": "fail"}})
    assert (await project.run()).exit_code == 0
    before = project.tree()
    assert (await project.run()).counts["current"] == 10
    with pytest.raises(PreflightError, match="in the way"):
        await project.run(fresh=True)
    shutil.rmtree(project.out / ".geobatch")
    with pytest.raises(PreflightError, match="in the way"):
        await geobatch_tui.plan(project.job())
    with pytest.raises(PreflightError, match="in the way"):
        await project.run()
    assert project.tree() == before
    assert (await geobatch_tui.repair(project.out))["adopted"] == 1
    assert (await project.run()).counts["current"] == 10


async def test_a_lost_ledger_is_rebuilt_from_the_outputs(tmp_path: Path) -> None:
    """The ledger is expendable: intact outputs are adopted, nothing is redone."""
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    await project.run()
    before = project.tree()
    (project.out / ".geobatch/ledger.db").unlink()
    report = await geobatch_tui.repair(project.out)
    assert report["adopted"] == 2
    result = await project.run()
    assert (result.counts["done"], result.counts["current"]) == (0, 20)
    assert project.tree() == before
    assert audit(project) == []


async def test_a_damaged_ledger_is_refused_then_repaired(tmp_path: Path) -> None:
    """It is never guessed at: exit 17, and `repair` keeps the old one."""
    project = threaded(tmp_path)
    await project.run()
    ledger = project.out / ".geobatch/ledger.db"
    ledger.write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerCorruptError):
        await project.run()
    report = await geobatch_tui.repair(project.out)
    assert report["adopted"] == 1
    assert Path(report["ledger_kept_as"]).read_bytes().startswith(b"not a database")
    assert (await project.run()).counts["current"] == 10


async def test_verify_names_exactly_what_is_damaged(tmp_path: Path) -> None:
    """One flipped bit in one of two outputs."""
    project = threaded(tmp_path, inputs=["a.tif", "b.tif"])
    await project.run()
    assert await geobatch_tui.verify(project.out) == {"checked": 2, "damaged": []}
    body = bytearray(project.output("b.tif").read_bytes())
    body[len(body) // 2] ^= 1
    project.output("b.tif").write_bytes(body)
    assert (await geobatch_tui.verify(project.out))["damaged"] == [str(project.output("b.tif"))]


async def test_fresh_redoes_everything(tmp_path: Path) -> None:
    """--fresh forgets the ledger; outputs are replaced by equal ones."""
    project = threaded(tmp_path)
    await project.run()
    before = project.tree()
    result = await project.run(fresh=True)
    assert result.counts["done"] == 10
    assert project.tree() == before


async def test_max_failures_stops_the_run(tmp_path: Path) -> None:
    """Exit 15; what is left stays pending and resumable."""
    project = Project(
        tmp_path,
        op={"chunks": 2000, "milliseconds": 1, "faults": {"raise": list(range(0, 2000, 2))}},
        values={"failures": {"max_failures": "5"}},
    )
    result = await project.run()
    assert result.exit_code == 15
    assert 5 <= result.counts["dead"] < 500
    assert result.counts["pending"] > 0


async def test_a_second_run_is_refused(tmp_path: Path) -> None:
    """One run a directory: the other is told who holds it."""
    project = threaded(tmp_path)
    await project.run()
    lock = RunLock.acquire(project.out / ".geobatch/lock", run_id="other")
    try:
        with pytest.raises(LockHeldError, match=str(os.getpid())):
            await project.run()
    finally:
        lock.release()


async def test_deadline_drains(tmp_path: Path) -> None:
    """--max-duration ends with 16, and the next run goes on."""
    project = Project(tmp_path, op={"chunks": 400, "milliseconds": 10})
    result = await project.run(max_duration=0.6)
    assert result.exit_code == 16
    assert 0 < result.counts["done"] < 400
    rest = await project.run()
    assert rest.exit_code == 0
    assert rest.counts["current"] == result.counts["done"]


async def test_the_log_frames_the_run(tmp_path: Path) -> None:
    """First line: versions and config with layers; last line: run.exit with code and counts."""
    project = threaded(tmp_path)
    lines: list[str] = []
    await project.run(log_stream=lines.append)
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert first["event"] == "run.start"
    assert first["config"]["engine.max_workers"]["value"] == 2
    assert (last["event"], last["code"], last["counts"]["done"]) == ("run.exit", 0, 10)
    kept = (project.out / ".geobatch/log.jsonl").read_text().splitlines()
    assert kept == lines


async def test_snapshots_count_up(tmp_path: Path) -> None:
    """Whoever observes sees the counts grow and the end."""
    project = Project(tmp_path, op={"chunks": 100, "milliseconds": 10})
    seen: list[geobatch_tui.Snapshot] = []
    await project.run(observe=seen.append)
    done = [snapshot.counts["done"] for snapshot in seen]
    assert done == sorted(done)
    assert (done[-1], seen[-1].state) == (100, "success")
    assert any(snapshot.working for snapshot in seen)


async def test_status_of_a_finished_run(tmp_path: Path) -> None:
    """`status` reads the ledger alone."""
    project = threaded(tmp_path)
    result = await project.run()
    status = geobatch_tui.open_run(project.out).status()
    assert (status["state"], status["run_id"]) == ("success", result.run_id)
    assert status["counts"] == dict(result.counts)
    await project.run()
    status = geobatch_tui.open_run(project.out).status()
    assert (status["counts"]["done"], status["counts"]["current"]) == (0, 10)


async def test_no_run_no_status(tmp_path: Path) -> None:
    """A directory without a run says so."""
    with pytest.raises(PlanMismatchError, match="no run"):
        geobatch_tui.open_run(tmp_path)


async def test_plan_writes_nothing(tmp_path: Path) -> None:
    """`plan` leaves no trace, not even the output directory."""
    project = threaded(tmp_path)
    report = await geobatch_tui.plan(project.job())
    assert report.to_json()["chunks"] == 10
    assert not project.out.exists()


async def test_one_chunk_items_skip_the_spool(tmp_path: Path) -> None:
    """Small files go straight to their part; nothing is left in the work directory."""
    project = threaded(tmp_path, inputs=[f"{n}.tif" for n in range(20)], op={"chunks": 1})
    result = await project.run()
    assert (result.exit_code, result.items["published"]) == (0, 20)
    assert list((project.out / ".geobatch/work").glob("*")) == []
    assert audit(project) == []


async def test_one_chunk_item_done_but_not_published_is_done_again(tmp_path: Path) -> None:
    """Its bytes lived in the part that was lost with the crash: a hole must not be published."""
    import sqlite3

    project = threaded(tmp_path, op={"chunks": 1})
    await project.run()
    before = project.tree()
    project.output().unlink()
    with closing(sqlite3.connect(project.out / ".geobatch/ledger.db")) as database, database:
        database.execute("UPDATE item SET state = 0, out_digest = ''")
    database.close()
    result = await project.run()
    assert (result.exit_code, result.counts["done"]) == (0, 1)
    assert project.tree() == before
    assert audit(project) == []


async def test_threads_give_the_same_bytes(tmp_path: Path) -> None:
    """Threads are another way to the same outputs."""
    for name in ("process", "thread"):
        (tmp_path / name).mkdir()
    desks = {
        name: Project(tmp_path / name, values={"engine": {"executor": name, "max_workers": 2}})
        for name in ("process", "thread")
    }
    for project in desks.values():
        assert (await project.run()).exit_code == 0
    assert desks["process"].tree() == desks["thread"].tree()


@pytest.mark.parametrize("verb", ["drain", "cancel"])
async def test_a_command_that_comes_before_the_plan_is_obeyed(tmp_path: Path, verb: str) -> None:
    """There is no dispatcher to tell it to yet."""
    project = threaded(tmp_path)
    control = Control()
    control.send(verb)
    result = await project.run(control=control)
    assert (result.exit_code, result.counts["done"]) == (130, 0)
    assert (await project.run()).counts["done"] == 10
