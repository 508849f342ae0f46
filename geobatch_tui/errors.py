"""Everything that can go wrong, classified by cause.

The tree::

    GeobatchError
    ├── ConfigError                 a job file, variable or flag is wrong            exit 2
    ├── PreflightError              refused before anything was written             exit 2
    ├── InvalidInputError           the input is wrong; a retry cannot help         permanent
    │   ├── SourceNotFoundError
    │   ├── UnsupportedFormatError
    │   ├── UnsafeInputError        a header bomb, a disguised dataset, a path that escapes
    │   ├── CorruptSourceError
    │   ├── CrsError
    │   ├── GeometryError
    │   ├── SchemaError
    │   └── EmptyInputError
    ├── TransientError              may go away by itself                           transient
    │   ├── RemoteIOError
    │   ├── AuthExpiredError
    │   └── ThrottledError
    ├── ResourceError               this machine ran short                          resource
    │   ├── MemoryBudgetError
    │   ├── OpenFilesError
    │   ├── ProcessLimitError
    │   └── DiskFullError                                                           space
    ├── PoisonError                 the chunk kills or blocks its worker            poison
    │   ├── WorkerCrashError
    │   └── ChunkTimeoutError
    ├── IntegrityError              what was read or written is not what it should be
    │   ├── SourceChangedError                                                      permanent
    │   ├── VerifyError                                                             unknown
    │   └── PlanMismatchError                                                       exit 2
    ├── StateError                  the run's own state                             exit 17
    │   ├── LockHeldError                                                           exit 13
    │   ├── LedgerCorruptError
    │   ├── LedgerEmptyError
    │   ├── LedgerTooNewError
    │   ├── ClusterError            the cluster of the run is gone, or no node may work
    │   ├── VersionSkewError        a node has other versions of what decides bytes
    │   └── OutputGoneError         the output root vanished or went read-only      fatal
    ├── StepError                   a function of the user failed in its chunk       unknown
    │   └── SeamError               it gives other pixels in another cut            fatal, exit 2
    ├── NotifyError                 somebody could not be told; it ends no run
    └── OperationError              an operation has a bug                          unknown

Each class carries ``reaction`` (what the scheduler does with a failed chunk), ``exit_code`` (what
the process ends with when the error ends the run) and ``hint`` (what the operator can do).
"""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import ClassVar, Final

#: Numbers of the system's errors, by what they say of a file that is written, whoever writes it.
#: EFBIG is RLIMIT_FSIZE, or a filesystem's largest file. A source that gives EIO or ESTALE is read
#: again: see ``BY_ERRNO`` in ``execution/runtime/classify.py``.
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
DISK_GONE: Final = frozenset(
    {errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN}
)
TOO_MANY_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Reaction(StrEnum):
    """The reaction of the scheduler that a failure asks for."""

    TRANSIENT = "transient"  #: retry with backoff, charged to the retry budget
    RESOURCE = "resource"  #: retry with less: sub-windows, fewer workers
    SPACE = "space"  #: pause the run; no attempt is charged
    PERMANENT = "permanent"  #: dead letter at once
    POISON = "poison"  #: once more, alone; then dead letter
    UNKNOWN = "unknown"  #: one retry, then dead letter
    FATAL = "fatal"  #: end the run


class ExitCode:
    """Exit codes of the command line; stable, documented in the README."""

    OK = 0
    RUNTIME = 1
    USAGE = 2
    CRS = 10
    UNSUPPORTED_FORMAT = 11
    PARTIAL = 12
    LOCKED = 13
    DAMAGED = 14
    FAILURES = 15
    DEADLINE = 16
    ENVIRONMENT = 17
    SIGINT = 130
    SIGTERM = 143


class GeobatchError(Exception):
    """Base of every error that geobatch raises on purpose.

    Args:
        message: what happened and where.
        hint: what to do about it; defaults to the class's own hint.
    """

    reaction: ClassVar[Reaction] = Reaction.UNKNOWN
    exit_code: ClassVar[int] = ExitCode.RUNTIME
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        said = message or (type(self).__doc__ or type(self).__name__).partition("\n")[0]
        super().__init__(said)
        self.hint = hint or self.default_hint
        #: JSON-ready facts for the dead letter: blocks that fail, chunks that are damaged.
        self.evidence: dict[str, object] = {}

    @property
    def message(self) -> str:
        """The message, without the hint."""
        return str(self.args[0])


class ConfigError(GeobatchError):
    """The configuration is wrong."""

    exit_code = ExitCode.USAGE
    reaction = Reaction.FATAL


class PreflightError(GeobatchError):
    """Refused before anything was written."""

    exit_code = ExitCode.USAGE
    reaction = Reaction.FATAL


class InvalidInputError(GeobatchError):
    """The input is wrong; trying again cannot help."""

    reaction = Reaction.PERMANENT


class SourceNotFoundError(InvalidInputError, FileNotFoundError):
    """The source does not exist or may not be read."""

    default_hint = "check the path and its permissions"


class UnsupportedFormatError(InvalidInputError):
    """The source is not in a format that this operation reads."""

    exit_code = ExitCode.UNSUPPORTED_FORMAT
    default_hint = "look at the first bytes: an HTML error page or a disguised format is common"


class UnsafeInputError(InvalidInputError):
    """The source asks for more than it can honestly hold, or reaches outside."""


class CorruptSourceError(InvalidInputError):
    """The source opens, but part of its data cannot be read."""

    default_hint = "fetch or write the source again; the evidence lists the blocks that fail"


class CrsError(InvalidInputError):
    """The coordinate reference system is missing, unknown or unfit."""

    exit_code = ExitCode.CRS
    default_hint = (
        "source.src_crs is for files that have no CRS, source.override_crs replaces a wrong one"
    )


class GeometryError(InvalidInputError):
    """A geometry or a coordinate cannot be transformed or repaired."""


class SchemaError(InvalidInputError):
    """Bands, types or fields do not fit the output."""


class EmptyInputError(InvalidInputError):
    """The input holds nothing to work on."""


class TransientError(GeobatchError):
    """Failed for now.

    Args:
        retry_after: seconds that the server asked to wait, if it did.
    """

    reaction = Reaction.TRANSIENT

    def __init__(
        self, message: str = "", *, hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RemoteIOError(TransientError):
    """A remote read failed."""


class AuthExpiredError(TransientError):
    """A signed URL or a token expired."""


class ThrottledError(TransientError):
    """The server asked to slow down."""


class ResourceError(GeobatchError):
    """This machine ran short of something."""

    reaction = Reaction.RESOURCE
    exit_code = ExitCode.ENVIRONMENT


class MemoryBudgetError(ResourceError):
    """A chunk needed more memory than the budget holds."""

    default_hint = "raise engine.memory_budget or lower engine.chunk_cols and chunk_rows"


class OpenFilesError(ResourceError):
    """Too many open files."""

    default_hint = "raise `ulimit -n` or lower engine.max_open_files"


class ProcessLimitError(ResourceError):
    """No more processes or threads may be started."""

    default_hint = (
        "raise `ulimit -u`, or pids.max of the cgroup (TasksMax of a unit), or lower "
        "engine.max_workers"
    )


class DiskFullError(ResourceError):
    """No space left where the output goes."""

    reaction = Reaction.SPACE
    default_hint = "free some space: the run goes on by itself, or resumes when started again"


class PoisonError(GeobatchError):
    """The chunk kills or blocks its worker."""

    reaction = Reaction.POISON


class WorkerCrashError(PoisonError):
    """The worker process died while it worked on this chunk."""


class ChunkTimeoutError(PoisonError):
    """The chunk ran longer than engine.chunk_timeout."""

    default_hint = "raise engine.chunk_timeout if the chunk is only slow"


class IntegrityError(GeobatchError):
    """What was read or written is not what it should be."""


class SourceChangedError(IntegrityError):
    """The source changed while it was being read."""

    reaction = Reaction.PERMANENT
    default_hint = "run again once the source has settled: only this item is redone"


class VerifyError(IntegrityError):
    """Read-back found other pixels than were written."""

    default_hint = (
        "retry it; if it fails again in the same way, look for faults of the disk or of memory, "
        "or report it"
    )


class PlanMismatchError(IntegrityError):
    """The output directory belongs to another job."""

    exit_code = ExitCode.USAGE
    reaction = Reaction.FATAL


class StateError(GeobatchError):
    """The run's own state cannot be used."""

    exit_code = ExitCode.ENVIRONMENT
    reaction = Reaction.FATAL


class LockHeldError(StateError):
    """Another run holds this output directory."""

    exit_code = ExitCode.LOCKED


class LedgerCorruptError(StateError):
    """The ledger is damaged."""

    default_hint = "`geobatch repair DIR` rebuilds it from the outputs"


class LedgerEmptyError(StateError):
    """There is no ledger, or nothing in it: a run ended before it began, as on a full disk."""

    default_hint = "run the job again: it takes up outputs that are right, and makes the rest"


class LedgerTooNewError(StateError):
    """The ledger was written by a newer geobatch."""

    default_hint = "upgrade geobatch, or use another output directory"


class ClusterError(StateError):
    """The cluster of the run cannot be used."""

    default_hint = "run the same command once the cluster is there again: it resumes"


class VersionSkewError(StateError):
    """A node of the cluster has other versions of what decides output bytes."""

    default_hint = "install the same versions on all nodes"


class OutputGoneError(StateError):
    """The output directory vanished or became read-only."""

    default_hint = "mount it again and run the same command: it resumes"


class StepError(GeobatchError):
    """A function of the user failed, or gave what it did not declare.

    Args:
        own: the error that it raised, if it did: the traceback to show, from its first frame on.
    """

    def __init__(
        self, message: str = "", *, hint: str = "", own: BaseException | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.own = own


class SeamError(StepError):
    """A function of the user gives a pixel another value in another cut.

    Pixels would depend on chunks, so the run ends before anything of it is published.
    """

    reaction = Reaction.FATAL
    exit_code = ExitCode.USAGE
    default_hint = (
        "declare a larger halo, or give what it takes from the whole raster as a parameter"
    )


class NotifyError(GeobatchError):
    """Somebody could not be told of a run."""


class OperationError(GeobatchError):
    """An operation failed in a way that it does not explain: a bug, ours or a plug-in's."""
