"""Opens a source raster, after looking at it as a plain file first.

No content of a file decides which driver opens it, which other file is read, or how much memory is
taken. Threads never share datasets: each thread of a worker keeps the last one that it used open,
and closes it when it opens another.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.env import getenv, hasenv
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import (
    CorruptSourceError,
    RemoteIOError,
    SchemaError,
    SourceNotFoundError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.raster.source import (
    block_file,
    hdf5,
    magic,
    sidecars,
    size_checks,
    tiff_directory,
)
from geobatch_tui.execution.raster.source.block_table import BlockTable
from geobatch_tui.execution.raster.source.blocks import Blocks, unreadable
from geobatch_tui.execution.raster.source.checksums import Checksums
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.runtime.recorder import filters
from geobatch_tui.execution.sources import source_files, vrt
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.sources.source_list import is_source_list
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.types import Pixels, Valid
    from geobatch_tui.execution.stores.store_client import Version

#: A damaged JPEG is an error, not a grey area. Files beside a source are found by their names, in
#: lower or upper case: a list of its directory, which GDAL compares in any case, would make it open
#: names that `sidecars` did not look at, and takes longer than to open a small file.
OPTIONS = {"GDAL_ERROR_ON_LIBJPEG_WARNING": "YES", "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}
#: A note of an item whose source is a stage.
STAGED = "staged"
#: GDAL's messages about a TIFF whose compression this build cannot decode.
_NO_CODEC = re.compile(
    r"missing codec|compression (?:only supported|support is not)", re.IGNORECASE
)
#: Files next to an image that GDAL reads with it.
_SIDECARS = (".aux.xml", ".msk", ".ovr", ".hdr")
_REPLACED = (".tfw", ".wld", ".prj", ".hdr", ".jgw", ".pgw")


@contextlib.contextmanager
def gdal_options() -> Iterator[None]:
    """GDAL's options around every read, unless they hold already (see
    :func:`geobatch_tui.execution.worker.tasks.enter_gdal`)."""
    if hasenv() and OPTIONS.items() <= getenv().items():
        yield
    else:
        with rasterio.Env(**OPTIONS):
            yield


@contextlib.contextmanager
def open_source(
    path: str,
    *,
    allow_vrt: bool = False,
    head: bool = False,
    wanted: Version | None = None,
    alone: bool = False,
) -> Iterator[DatasetReader]:
    """Open the dataset at ``path``, an absolute name of a file or a URL, for as long as the context
    lasts. With ``head`` the pixels of a URL may not be read. ``alone``: it has nothing beside it.

    Raises:
        SourceChangedError: the object at a URL is not the version that is ``wanted``.
        SourceNotFoundError, UnsupportedFormatError, UnsafeInputError, CorruptSourceError,
        SchemaError: it is missing, is no raster, is dangerous, is damaged, or holds only
            subdatasets.
    """
    with contextlib.ExitStack() as stack:
        if is_url(path):
            from geobatch_tui.execution.raster.source import object_source

            file = object_source.as_file(path, head=head, wanted=wanted, alone=alone)
            path = stack.enter_context(file)
            if path.startswith(object_source.IN_MEMORY):
                yield _open_by("GTiff", path, stack)
                return
        yield _open(path, stack, allow_vrt=allow_vrt)


def _open(path: str, stack: contextlib.ExitStack, *, allow_vrt: bool) -> DatasetReader:
    return _open_by(look(path, allow_vrt=allow_vrt), path, stack)


def _open_by(driver: str, path: str, stack: contextlib.ExitStack) -> DatasetReader:
    name = stack.enter_context(_openable(path))
    dataset = _open_pinned(path, name, driver)
    stack.enter_context(dataset)
    _refuse_subdatasets(path, dataset)
    return dataset


def look(path: str, *, allow_vrt: bool = False, depth: int = 0) -> str:
    """Return the driver that may open ``path``; reads its first bytes (of a VRT: its sources').

    Raises: as :func:`open_source`.
    """
    if not path.startswith("/") or path.startswith("/vsi") or "\0" in path:
        raise UnsafeInputError(
            f"{path!r} is not the absolute name of a file",
            hint="GDAL's own syntax (/vsi..., DRIVER:name) and URLs are not taken as sources",
        )
    try:
        if not os.path.isfile(path):  # noqa: PTH113 -- as text: of each of many inputs
            if Path(path).is_dir():
                raise UnsupportedFormatError(f"{path} is a directory, not a raster file")
            raise SourceNotFoundError(f"{path} does not exist or is no regular file")
        with open(path, "rb") as handle:  # noqa: PTH123
            head, size = handle.read(magic.HEAD_BYTES), os.fstat(handle.fileno()).st_size
    except PermissionError as error:
        raise SourceNotFoundError(f"{path} may not be read: {error.strerror}") from error
    sidecars.refuse_unsafe(path)
    driver = magic.driver_of(Path(path), head, size=size, allow_vrt=allow_vrt)
    if head.startswith(hdf5.MAGIC):
        hdf5.refuse_other_files(path)
    if driver == "VRT":
        if depth >= vrt.MAX_DEPTH:
            raise UnsafeInputError(f"{path}: VRTs are nested more than {depth} deep")
        for source in vrt.vrt_sources(Path(path)):
            look(str(source), allow_vrt=True, depth=depth + 1)
    return driver


@contextlib.contextmanager
def _openable(path: str) -> Iterator[str]:
    """Yield a name of the file that rasterio accepts: it refuses bytes that are not UTF-8.

    Such a file is linked under a plain name in a scratch directory, and so are its sidecars.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        pass
    else:
        yield path
        return
    file = Path(path)
    with tempfile.TemporaryDirectory(prefix="geobatch-") as scratch:
        link = Path(scratch, f"source{file.suffix if file.suffix.isascii() else ''}")
        link.symlink_to(file)
        beside = [(file.with_name(file.name + s), link.with_name(link.name + s)) for s in _SIDECARS]
        beside += [(file.with_suffix(s), link.with_suffix(s)) for s in _REPLACED]
        for target, name in beside:
            if target.is_file():
                name.symlink_to(target)
        yield str(link)


def open_by(driver: str, name: str, **options: object) -> DatasetReader:
    """Open a dataset by one driver, without a warning where it has no georeference."""
    with filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if options or not hasenv():
            return rasterio.open(name, driver=driver, sharing=False, **options)
        # What rasterio.open does with a name, without an environment and credentials for it: one
        # holds here, and they take half as long as to open a small file.
        return DatasetReader(name, driver=driver, sharing=False)


def _open_pinned(path: str, name: str, driver: str) -> DatasetReader:
    try:
        return open_by(driver, name)
    except RasterioIOError as error:
        if classify.is_passing(str(error)):
            raise RemoteIOError(f"{path}: {error}") from error
        if _NO_CODEC.search(str(error)):
            raise UnsupportedFormatError(
                f"{path} is compressed by {tiff_directory.compression_of(path)}, which this "
                f"GDAL cannot decode ({error})",
                hint="decode it with software that can, and write it with another compression",
            ) from error
        if driver == "GTiff":
            size_checks.refuse_missing_blocks(path)
        raise CorruptSourceError(f"{path} cannot be opened as {driver}: {error}") from error


def _refuse_subdatasets(path: str, dataset: DatasetReader) -> None:
    if dataset.count:
        return
    names = [name.rpartition(":")[2] for name in dataset.subdatasets]
    raise SchemaError(
        f"{path} has no bands of its own, only {len(names)} subdatasets: {', '.join(names[:20])}",
        hint="extract one to a GeoTIFF with gdal_translate first",
    )


@dataclass(slots=True)
class OpenSource:
    """An open source, and the objects that are built on it; belongs to one thread.

    ``blocks`` and ``checksums`` read its blocks without GDAL, where they can; ``dataset`` is opened
    at its first use. ``built`` are objects over it by name, as virtual datasets, which their makers
    enter; ``stack`` closes what has to be closed with the source.
    """

    path: str
    facts: Facts
    stack: contextlib.ExitStack
    wanted: Version | None = None
    _dataset: DatasetReader | None = None
    blocks: Blocks | None = None
    checksums: Checksums | None = None
    built: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        path: str,
        facts: Facts,
        stack: contextlib.ExitStack,
        dataset: DatasetReader | None = None,
        wanted: Version | None = None,
    ) -> OpenSource:
        """Return the source; ``stack`` closes the files that are opened here. ``dataset`` is the
        source, if it is open already. ``wanted``: the version of an object."""
        opened = cls(path, facts, stack, wanted)
        if is_url(path):  # what is open may be its head alone
            opened._take_object()
        else:
            opened._dataset = dataset
            opened._take_blocks(path)
        return opened

    def _take_object(self) -> None:
        """Read blocks from the store if they are plain, else from a copy."""
        if self.facts.driver == "GTiff":
            with contextlib.suppress(RangesRefusedError):
                file = block_file.object_at(self.path, self.wanted)
                self.wanted = file.version
                table = BlockTable.of(self.path, self.facts)
                if table is not None and table.compress and table.plain:
                    dtype = np.dtype(self.facts.dtype)
                    self.blocks = Blocks(file, table, dtype, lambda: self.dataset)
                    return
        self._take_blocks(self._local())

    def _take_blocks(self, path: str) -> None:
        table = BlockTable.of(path, self.facts)
        if table is None or not table.compress:
            return
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.stack.callback(os.close, fd)
        file = block_file.LocalBlocks(fd)
        if table.plain:
            self.blocks = Blocks(file, table, np.dtype(self.facts.dtype), lambda: self.dataset)
        self.checksums = Checksums.of(file, table)

    def _local(self) -> str:
        """Return the path of the source on the disk, of an object that of a whole copy."""
        if not is_url(self.path):
            return self.path
        from geobatch_tui.execution.raster.source.object_source import as_file

        return self.stack.enter_context(as_file(self.path, head=False, wanted=self.wanted))

    @property
    def dataset(self) -> DatasetReader:
        """The source, opened by GDAL. Raises: as :func:`open_source`."""
        if self._dataset is None:
            vrt = self.facts.driver == "VRT"
            self._dataset = _open(self._local(), self.stack, allow_vrt=vrt)
        return self._dataset

    def read_window(self, window: Window) -> Pixels:
        """Read the pixels (bands, h, w) of ``window`` as they are stored.

        Raises:
            CorruptSourceError: as :meth:`check`.
            RasterioError: GDAL cannot read them.
        """
        pixels: Pixels
        if self.blocks is None:
            self.check(window)
            pixels = self.dataset.read(window=RasterWindow(*window.srcwin))
            return pixels
        pixels, damaged = self.blocks.read_blocks(window)
        if damaged:
            raise self._corrupt(damaged)
        return pixels

    def read_mask(self, window: Window) -> Valid:
        """Read the mask (h, w) of ``window``; errors as :meth:`read_window`."""
        mask: Valid = self.dataset.read_masks(1, window=RasterWindow(*window.srcwin)) > 0
        return mask

    def check(self, window: Window) -> None:
        """Raise CorruptSourceError if a block under ``window`` is damaged, though GDAL may not
        notice; its evidence lists such blocks as [row, column]."""
        damaged = self.checksums.damaged(window) if self.checksums is not None else []
        if damaged:
            raise self._corrupt(damaged)

    def _corrupt(self, damaged: list[tuple[int, int]]) -> CorruptSourceError:
        facts = self.facts
        total = len(ChunkGrid(facts.width, facts.height, *facts.block))
        why = "their checksums are wrong, though GDAL may read them without a word"
        return unreadable(self.path, damaged, f"{total} blocks", why)


class _ThreadSource(threading.local):
    key: tuple[str, int, int, str] | None = None
    opened: OpenSource | None = None


_current = _ThreadSource()


@contextlib.contextmanager
def source_of(item: ItemContext) -> Iterator[OpenSource]:
    """Open the source of ``item``; it stays open in this thread until another source is opened.

    Its identity is checked before and after. On any error inside the context it is closed, so that
    GDAL's caches are not used again after a failed read.

    Raises:
        SourceChangedError: its size or time changed; and as :func:`open_source`.
    """
    _check_identity(item)
    identity = item.source_id
    key = (item.source, identity.size, identity.mtime_ns, item.fingerprint)
    with gdal_options():
        if _current.opened is None or _current.key != key:
            release()
            with contextlib.ExitStack() as stack:
                opened = _opened(item, stack)
                opened.stack = stack.pop_all()
                _current.opened = opened
            _current.key = key
        try:
            yield _current.opened
            _check_identity(item)
        except BaseException:
            release()
            raise


def _check_identity(item: ItemContext) -> None:
    """Raise SourceChangedError if the source changed. Those of a group are looked at one by one,
    when they are opened: there may be a hundred thousand. A stage may be written again, with the
    same bytes, and proves each of its tiles."""
    if not is_source_list(item.source) and not item.plan.notes.get(STAGED):
        source_files.check_identity(item.source, item.source_id)


def _opened(item: ItemContext, stack: contextlib.ExitStack) -> OpenSource:
    facts, dataset = Facts.from_notes(item.plan.notes), None
    if facts is None:  # planned by an earlier version, which kept none
        allow_vrt = item.plan.notes.get("driver") == "VRT"
        dataset = _open(item.source, stack, allow_vrt=allow_vrt)
        facts = Facts.of(dataset)
    wanted = version_in(item.source_id) if is_url(item.source) else None
    return OpenSource.of(item.source, facts, stack, dataset, wanted)


def release() -> None:
    """Close the source that is open in this thread."""
    opened, _current.opened, _current.key = _current.opened, None, None
    if opened is not None:
        opened.stack.close()
    block_file.forget()
