"""Messages between the engine and a worker: plain, frozen, picklable; never pixels.

A worker gets tasks and answers with outcomes. Nothing here imports GDAL or numpy, so the engine
process can build and read all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from geobatch_tui.execution.protocol.window import Window

if TYPE_CHECKING:
    from geobatch_tui.errors import Reaction
    from geobatch_tui.execution.protocol import looking, preview_messages

#: A JSON object, which nobody changes.
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """The chunks of an item: a regular grid over ``width`` x ``height`` units.

    For a raster the units are output pixels. For a vector, ``width`` counts features, ``height``
    is 1. Chunks are numbered row-major from 0; those of the last column and row may be smaller.
    The blocks of an image are such a grid too.
    """

    width: int
    height: int
    chunk_width: int
    chunk_height: int

    @property
    def columns(self) -> int:
        return -(-self.width // self.chunk_width)

    @property
    def rows(self) -> int:
        return -(-self.height // self.chunk_height)

    def __len__(self) -> int:
        return self.columns * self.rows

    def window(self, index: int) -> Window:
        """Return the window of chunk ``index``; IndexError outside the grid."""
        if not 0 <= index < len(self):
            raise IndexError(f"chunk {index} of {len(self)}")
        row, col = divmod(index, self.columns)
        left, top = col * self.chunk_width, row * self.chunk_height
        width = min(self.chunk_width, self.width - left)
        height = min(self.chunk_height, self.height - top)
        return Window(left, top, width, height)

    def under(self, window: Window) -> list[int]:
        """Return the numbers of the chunks that ``window`` meets, row-major."""
        inside = window.clip(Window(0, 0, self.width, self.height))
        if not inside.size:
            return []
        met = inside.blocks(self.chunk_width, self.chunk_height)
        return [row * self.columns + col for row, col in met.places()]


def chunk_place(grids: Sequence[ChunkGrid], index: int) -> tuple[int, ChunkGrid, int]:
    """Return which of ``grids`` chunk ``index`` of all is in, that grid, and its number there."""
    for number, grid in enumerate(grids):
        if index < len(grid):
            return number, grid, index
        index -= len(grid)
    raise IndexError("no such chunk")


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Identity of a source: ``size`` in bytes, ``mtime_ns``, and a BLAKE2b-128 hex digest over its
    first and last 64 KiB and its size; of one of several files, the sum of their sizes, the latest
    of their times, and a digest over all. The digest of an object is followed by ``:`` and its
    ETag."""

    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A raster within a chain that is stored before anything behind it is computed.

    ``after``: the step of the planned chain that gives it (0: the source); ``steps``: how many of
    the job do. ``size``: bytes of its file; ``fingerprint``: of its pixels; the engine makes it.
    """

    grid: ChunkGrid
    chunk_bytes: int
    after: int
    steps: int
    size: int
    why: str
    fingerprint: str = ""

    @property
    def file_name(self) -> str:
        """Its name in the item's ``work_dir``."""
        return f"stage-{self.fingerprint}.tif"


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """The plan of an item. Chunks are numbered through its stages, in order, then its output.

    Attributes:
        grid: the chunks of the output.
        chunk_bytes: predicted peak memory of one chunk in a worker, in bytes.
        output_bytes: upper estimate of the published file, in bytes.
        detail: the operation's own plan, JSON-ready (for a raster: destination grid, bands,
            dtype, nodata, kernel scale, codec). Goes into the fingerprint; opaque to the engine.
        bounds_lonlat: west, south, east, north of the output in degrees, if known.
        warnings: sentences for the operator.
        notes: JSON-ready facts for ``plan --json`` and the receipt (not in the fingerprint).
        stages: what is stored on the way.
    """

    grid: ChunkGrid
    chunk_bytes: int
    output_bytes: int
    detail: Json
    bounds_lonlat: tuple[float, float, float, float] | None = None
    warnings: tuple[str, ...] = ()
    notes: Json = field(default_factory=dict)
    stages: tuple[StagePlan, ...] = ()

    @property
    def grids(self) -> tuple[ChunkGrid, ...]:
        return (*(stage.grid for stage in self.stages), self.grid)

    @property
    def chunks(self) -> int:
        return sum(map(len, self.grids))

    @property
    def staged(self) -> int:  # and the number of the output's first chunk
        return self.chunks - len(self.grid)

    def to_json(self) -> dict[str, object]:
        """Return it JSON-ready, for the ledger. Values that are JSON already are shared."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"grid": asdict(self.grid), "detail": dict(self.detail)}
        stages = values.pop("stages")  # plans without any are those of versions that knew none
        return values | {"stages": [asdict(stage) for stage in stages]} if stages else values

    @classmethod
    def from_json(cls, data: Json) -> ItemPlan:
        """Read a plan that :meth:`to_json` made."""
        values = dict(data)
        values["grid"] = ChunkGrid(**values["grid"])
        values["warnings"] = tuple(values["warnings"])
        if values["bounds_lonlat"] is not None:
            west, south, east, north = values["bounds_lonlat"]
            values["bounds_lonlat"] = (west, south, east, north)
        values["stages"] = tuple(
            StagePlan(**{**stage, "grid": ChunkGrid(**stage["grid"])})
            for stage in values.get("stages", ())
        )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ItemContext:
    """An item, as a worker must know it to work on any of its chunks.

    ``source`` and ``out_path`` are absolute paths; ``out_path`` is the final name, which a worker
    never writes. ``work_dir`` holds the item's spools. ``fingerprint`` is embedded in the output.
    """

    item_id: int
    key: str
    source: str
    source_id: SourceIdentity
    fingerprint: str
    op: str
    params: Json
    output: Json
    out_path: str
    work_dir: str
    plan: ItemPlan


@dataclass(frozen=True, slots=True)
class Chunking:
    """Limits for the choice of chunks: ``cols`` and ``rows`` in pixels (0: choose),
    ``features`` (0: choose), ``max_bytes`` for one chunk in one worker; ``most_bytes`` for one that
    runs alone (0: any)."""

    cols: int
    rows: int
    features: int
    max_bytes: int
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """Open a source, refuse what cannot work, and plan the item.

    ``previous``, of a published output that is intact while parameters, or files of a group, have
    changed: ``detail`` of its plan, ``source``, and its ``path``, ``size`` and ``mtime_ns``.
    ``surveys``: what the parts of each survey show. ``alone``: its store lists nothing beside it.
    """

    task_id: int
    key: str
    source: str
    source_options: Json
    op: str
    params: Json
    output: Json
    chunking: Chunking
    previous: Json = field(default_factory=dict)
    looks: tuple[Json, ...] = ()
    source_id: SourceIdentity | None = None
    surveys: tuple[tuple[Json, ...], ...] = ()
    alone: bool = False


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """Compute one chunk and append it to the worker's spool.

    ``whole`` is set for an item of one chunk: the worker then also writes, checks and syncs the
    part file, and the receipt carries the item's. ``subdivide`` n asks to compute the chunk in
    4**n sub-windows, in turn, with the same result and less memory. ``crashes``: how often it
    ended or blocked its worker before. ``proves``: functions of the user are tried in it, as in the
    first chunk of a run. ``ahead``: chunks that its worker will get after it, most likely.
    """

    task_id: int
    item: ItemContext
    index: int
    attempt: int
    epoch: int
    whole: bool = False
    subdivide: int = 0
    crashes: int = 0
    proves: bool = False
    ahead: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """The place of a finished chunk: ``spool`` is a file name in the item's ``work_dir``;
    ``offset`` and ``length`` in bytes; ``crc32`` over these bytes. ``length`` 0: a hole."""

    index: int
    spool: str
    offset: int
    length: int
    crc32: int


@dataclass(frozen=True, slots=True)
class FinaliseTask:
    """Assemble, check and sync an item's part file; ``pieced``: spools may keep what they have."""

    task_id: int
    item: ItemContext
    epoch: int
    segments: Sequence[Segment]
    pieced: bool = False


@dataclass(frozen=True, slots=True)
class ResultTask:
    """Compute what step ``step`` of a chain, from 1, gives for chunk ``index`` (0: what the first
    gets, or any operation on features), for the eye. ``size`` limits width and height in pixels of
    2 x 2 dots; ``position``: in the item, of the one feature that is taken; None: all of them."""

    task_id: int
    item: ItemContext
    index: int
    step: int
    size: tuple[int, int]
    position: int | None = None


type Task = (
    ProbeTask | looking.MembersTask | looking.SurveyTask[ProbeTask] | looking.LayersTask | ChunkTask
    | FinaliseTask | looking.InspectTask | preview_messages.PreviewTask | ResultTask
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ItemReceipt:
    """Proof of an assembled item: an absolute ``part_path`` in the target directory, its ``size``
    in bytes, the SHA-256 hex ``digest`` of its bytes, and JSON-ready ``facts``. ``spools`` have
    pieces of it, in the order of its table (``io/pieced_file.py``); None: the part file has all."""

    part_path: str
    size: int
    digest: str
    facts: Json
    spools: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class FeatureLetter:
    """A feature that was set aside while the rest of its chunk went on.

    ``fid`` is the source's id of it, ``position`` its number among the item's features, from 0.
    ``error_class`` is a class of ``geobatch_tui.errors``. ``wkb`` is the geometry in hex, cut off
    after some thousand characters; ``wkb_bytes`` is its whole length. ``stage``: what was done to
    it, or the step of a chain, whose number is ``step``; 0: none did it.
    """

    fid: int | None
    position: int
    error_class: str
    reason: str
    wkb: str
    wkb_bytes: int
    stage: str = "work"
    step: int = 0


@dataclass(frozen=True, slots=True)
class ChunkReceipt:
    """Proof of a finished chunk: where its bytes are and what they cost.

    ``units``: output pixels times bands, or features. ``seconds``: by stage. ``nodata``: share of
    invalid units, 0 to 1. ``item`` is set where the chunk was the whole item. ``letters``:
    features that are not in the output. ``undefined``: pixels with a result that is no number.
    """

    index: int
    segment: Segment
    units: int
    bytes_in: int
    bytes_out: int
    nodata: float
    seconds: Json
    item: ItemReceipt | None = None
    letters: tuple[FeatureLetter, ...] = ()
    undefined: int = 0

    def spent(self, *stages: str) -> float:
        """Sum the seconds of some stages."""
        seconds = self.seconds
        return sum([float(seconds.get(stage, 0.0)) for stage in stages]) if seconds else 0.0


type Receipt = (
    ItemPlan | looking.MembersReceipt | looking.SurveyReceipt | looking.LayersReceipt | ChunkReceipt
    | ItemReceipt | looking.InspectReceipt | preview_messages.PreviewReceipt
    | preview_messages.FeaturesReceipt
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, fit to cross a process and to be kept: no exception object, only its evidence.

    ``error_class`` is the class name in ``geobatch_tui.errors``; ``evidence`` is JSON-ready:
    ``stderr`` (tail of the worker's fd 2), ``gdal`` (messages), ``blocks`` and so on.
    """

    error_class: str
    reaction: Reaction
    message: str
    stage: str = ""
    traceback: str = ""
    hint: str = ""
    errno: int | None = None
    retry_after: float | None = None
    evidence: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A worker's answer to a task: a receipt or a failure, never both.

    ``seconds`` is wall time in the worker, ``rss`` its resident bytes afterwards, ``rss_peak`` the
    peak during the task. ``evidence`` of a success holds ``stderr`` and ``gdal`` warnings, if any.
    """

    task_id: int
    receipt: Receipt | None
    failure: Failure | None
    seconds: float
    rss: int
    rss_peak: int
    evidence: Json = field(default_factory=dict)

    def failed(self, failure: Failure) -> Outcome:
        """Return the same outcome, but of a task that failed."""
        return replace(self, receipt=None, failure=failure, evidence={})


WorkerCause = Literal["exit", "signal", "oom", "timeout", "memory", "retired"]
