"""Functions of the user that a job names: where they are, and whether the job may run them.

A job file that says ``use`` runs code. It may run what lies beside it, as that came with it, or
what its reader asked for; so it is with a Makefile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.catalog.stac_source import StacSource
from geobatch_tui.config.paths import absolute
from geobatch_tui.config.problems import Problem
from geobatch_tui.config.sources import STEP
from geobatch_tui.execution.params.frozen import chains_beside
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.config.chains.step_kinds import Known
    from geobatch_tui.config.job_reader import JobFile
    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.params.frozen import StepValues

#: The key of a step under which a function's code is kept as it was read.
KEPT: Final = "function"
_ADVICE: Final = "source.allow_code = true runs it all the same"


def with_paths(steps: object, base: Path, known: Known, *, kept: bool = True) -> object:
    """Return the steps of a job with the files that they name, those of functions among them,
    joined to ``base``. ``kept``: functions that have a path already keep it."""
    from geobatch_tui.config.chains import step_paths  # not loaded for other jobs

    steps = step_paths.with_paths(steps, base, known)
    return [_located(step, base, kept=kept) for step in steps] if isinstance(steps, list) else steps


def _located(step: object, base: Path, *, kept: bool) -> object:
    """Return a step with the path of its function, and those of functions in chains beside it."""
    if not isinstance(step, Mapping):
        return step
    for name, chain in chains_beside(step):
        step = _with_chain(step, name, [_located(one, base, kept=kept) for one in chain])
    use = step.get("use")
    if not isinstance(use, str) or (kept and KEPT in step):
        return step
    from geobatch_tui.execution.params.own import function_code  # most jobs have none

    try:
        path, _ = function_code.split(use)
    except ValueError:  # said when the step is checked
        return step
    file = os.path.abspath(str(absolute(path, base)))  # noqa: PTH100 - Path keeps "a/../b"
    return {**step, KEPT: {"file": file}}


def _with_chain(step: StepValues, name: str, chain: list[object]) -> dict[str, object]:
    """Return a step with other steps in the chain beside it that has this name."""
    field, _, key = name.partition(".")
    if not key:
        return {**step, field: {**step[field], "steps": chain}}
    return {**step, field: {**step[field], key: {**step[field][key], "steps": chain}}}


def functions_of(job: Job) -> Iterator[tuple[str, StepValues]]:
    """Yield the place, ``2`` from 1 on or ``2.overlay`` in a chain beside a step, and the values of
    each step of a job that is a function."""
    for number, step in enumerate(getattr(job.op.params, "steps", ()), 1):
        values = step.model_dump(mode="json")
        if "use" in values:
            yield str(number), values
        for name, chain in chains_beside(values):
            yield from ((f"{number}.{name}", one) for one in chain if "use" in one)


def file_of(step: object) -> str:
    """Return the path of a step's function; empty: it has none."""
    kept = step.get(KEPT) if isinstance(step, Mapping) else None
    return str(kept.get("file", "")) if isinstance(kept, Mapping) else ""


def files_of(steps: object) -> set[str]:
    """Return the paths of the functions of steps."""
    if not isinstance(steps, list):
        return set()
    found = {file_of(step) for step in steps}
    for step in steps:
        for _, chain in chains_beside(step) if isinstance(step, Mapping) else ():
            found |= {file_of(one) for one in chain}
    return found - {""}


def refused(job: Job | None, file: JobFile | None, named: set[str]) -> Iterator[Problem]:
    """Yield a problem for each function of ``job`` that ``file`` may not run; ``named``: the files
    of those that it names. Others were named by whoever called."""
    if job is None or file is None:
        return
    for use, code in () if job.source.allow_code else signers_of(job):
        if reason := _signer_refusal(code, use, file.path.absolute()):
            yield Problem(file.where("source.inputs"), "source.inputs", f"sign: {reason}")
    for place, step in () if job.source.allow_code else functions_of(job):
        if file_of(step) not in named:
            continue
        if reason := _refusal(step, file.path.absolute()):
            number, _, beside = place.partition(".")
            last = beside.partition(".")[0] or "use"
            key = f"{STEP}[{number}].{beside or last}"
            where = file.where(f"{STEP}.{int(number) - 1}.{last}")
            yield Problem(where, key, f"{key}: {reason}")


def signers_of(job: Job) -> Iterator[tuple[str, str]]:
    """Yield each function that signs URLs of catalogues, and its file; empty: an installed
    module's."""
    uses = {one.sign: None for one in job.source.inputs if isinstance(one, StacSource) and one.sign}
    for use in uses:
        yield use, use.rpartition(":")[0] if ".py:" in use else ""


def _signer_refusal(code: str, use: str, job_file: Path) -> str:
    if not code:
        return f"{safe(use)} is code of an installed package; {_ADVICE}"
    try:
        _check(Path(code), job_file.parent, job_file.stat().st_uid)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{safe(code)}: {error.strerror}"
    return ""


def _refusal(step: StepValues, job_file: Path) -> str:
    from geobatch_tui.execution.params.own import function_code

    file = Path(file_of(step))
    try:
        _, name = function_code.split(str(step["use"]))
        code = function_code.read(file, name)
        owner = job_file.stat().st_uid
        for each in (file, *code.modules.values()):
            _check(each, job_file.parent, owner)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{safe(str(error.filename or file))}: {error.strerror}"
    return ""


def _check(file: Path, folder: Path, owner: int) -> None:
    """Raise ValueError unless ``file`` is a regular file in ``folder`` or below, of its owner."""
    shown = safe(str(file))
    real = Path(os.path.realpath(file))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{shown} does not lie beside the job file; {_ADVICE}")
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{shown} is not a regular file")
    if status.st_uid not in {owner, 0}:
        raise ValueError(f"{shown} belongs to another user than the job file; {_ADVICE}")
    if status.st_mode & stat.S_IWOTH:
        raise ValueError(f"everybody may write to {shown}: chmod o-w; or {_ADVICE}")


def identities(job: Job) -> list[tuple[str, str, str]]:
    """Return step, file and code of each function of a job: what its user agreed to run."""
    return [
        *((use, code, "") for use, code in signers_of(job)),
        *(
            (str(step["use"]), file_of(step), str(step[KEPT]["code"]))
            for _, step in functions_of(job)
        ),
    ]


def warnings(job: Job) -> Iterator[str]:
    """Say of each function that a job runs code of its own, and which."""
    for use, _ in signers_of(job):
        yield f"URLs are signed by code of this job: {safe(use)}"
    for place, step in functions_of(job):
        number, _, beside = place.partition(".")
        within = f", {beside}," if beside else ""
        yield (
            f"step {number}{within} runs code of this job: {safe(str(step['use']))} "
            f"(line {step[KEPT]['line']} of {safe(file_of(step))})"
        )
