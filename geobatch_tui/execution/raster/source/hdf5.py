"""Refuses an HDF5 file, netCDF 4 included, that takes its data from other files.

HDF5 reads the pixels of a dataset from any file that its header names (external storage), from
datasets of other HDF5 files (virtual datasets), and follows links into those. GDAL says nothing of
it. So rasterio's own libhdf5 is asked, object by object, before GDAL opens the file.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import CorruptSourceError, UnsafeInputError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x89HDF\r\n\x1a\n"

_ID = ctypes.c_int64
_VISITOR = ctypes.CFUNCTYPE(
    ctypes.c_int, _ID, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p
)
_BY_NAME, _AS_STORED = 0, 2  # H5_INDEX_NAME, H5_ITER_NATIVE
_OWN_LINKS = (0, 1)  # H5L_TYPE_HARD, H5L_TYPE_SOFT: both stay in the file
_DATASET = 5  # H5I_DATASET
_VIRTUAL = 3  # H5D_VIRTUAL
_HINT = "copy what it shows into one file, as h5repack or ncks does, if you trust it"


def refuse_other_files(path: str) -> None:
    """Raise an error if the HDF5 file at ``path`` names other files.

    Raises:
        UnsafeInputError: it does.
        CorruptSourceError: it cannot be looked through.
        UnsupportedFormatError: rasterio's HDF5 cannot be asked.
    """
    # HDF5 is built for one thread, and GDAL's lock for it cannot be taken from here. The tasks of a
    # worker process run in its first thread.
    alone = threading.current_thread() is threading.main_thread()
    references = _references_in(path) if alone else _references_by_another_process(path)
    if references:
        raise UnsafeInputError(f"{path}: {references}", hint=_HINT)


def _references_by_another_process(path: str) -> str:
    import subprocess

    words = [sys.executable, "-P", "-m", __name__, path]
    done = subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - our own module
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().splitlines()[-1:]
        raise CorruptSourceError(f"{path} cannot be looked through as HDF5: {' '.join(said)}")
    return os.fsdecode(done.stdout)


def _references_in(path: str) -> str:
    """Return what the file takes from other files; empty if nothing."""
    library = _library()
    with _quiet(library):
        file = library.H5Fopen(os.fsencode(path), 0, 0)  # read only, as GDAL does
        if file < 0:
            raise CorruptSourceError(f"{path} cannot be opened as HDF5")
        try:
            return _look_through(library, file, path)
        finally:
            library.H5Fclose(file)


def _look_through(library: Any, file: int, path: str) -> str:
    references: list[str] = []

    def visit(group: int, name: bytes, kind: Any, _: object) -> int:
        # The first field of a link's description is its type.
        if kind[0] not in _OWN_LINKS:
            references.append(f"{os.fsdecode(name)!r} is a link into another file")
        elif kind[0] == _OWN_LINKS[0]:
            references.extend(_outside(library, group, name))
        return len(references)

    visitor = _VISITOR(visit)
    if library.visit(file, _BY_NAME, _AS_STORED, visitor, None) < 0:
        raise CorruptSourceError(f"{path} cannot be looked through as HDF5")
    return references[0] if references else ""


def _outside(library: Any, group: int, name: bytes) -> list[str]:
    """Return why the object of this name is not in the file; empty if it is."""
    shown = repr(os.fsdecode(name))
    opened = library.H5Oopen(group, name, 0)
    if opened < 0:
        return [f"the object {shown} cannot be opened"]
    properties = -1
    try:
        if library.H5Iget_type(opened) != _DATASET:
            return []
        properties = library.H5Dget_create_plist(opened)
        external = library.H5Pget_external_count(properties)
        if external > 0:
            return [f"the values of {shown} lie in {external} other files (external storage)"]
        layout = library.H5Pget_layout(properties)
        if external < 0 or layout < 0:
            return [f"the dataset {shown} does not say where its values lie"]
        return [f"{shown} shows values of other files (virtual)"] if layout == _VIRTUAL else []
    finally:
        if properties >= 0:
            library.H5Pclose(properties)
        library.H5Oclose(opened)


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Keep HDF5 from printing its error stack."""
    function, data = ctypes.c_void_p(), ctypes.c_void_p()
    library.H5Eget_auto2(0, ctypes.byref(function), ctypes.byref(data))
    library.H5Eset_auto2(0, None, None)
    try:
        yield
    finally:
        library.H5Eset_auto2(0, function, data)


@cache
def _library() -> Any:
    from rasterio import _env

    library: Any = ctypes.CDLL(str(_env.__file__))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures = {
        "H5Fopen": (_ID, (ctypes.c_char_p, ctypes.c_uint, _ID)),
        "H5Fclose": (number, (_ID,)),
        "H5Oopen": (_ID, (_ID, ctypes.c_char_p, _ID)),
        "H5Oclose": (number, (_ID,)),
        "H5Iget_type": (number, (_ID,)),
        "H5Dget_create_plist": (_ID, (_ID,)),
        "H5Pget_external_count": (number, (_ID,)),
        "H5Pget_layout": (number, (_ID,)),
        "H5Pclose": (number, (_ID,)),
        "H5Eget_auto2": (number, (_ID, pointer, pointer)),
        "H5Eset_auto2": (number, (_ID, pointer, pointer)),
    }
    try:
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        # Of HDF5 1.12 and newer, and of 1.10.
        name = "H5Lvisit2" if hasattr(library, "H5Lvisit2") else "H5Lvisit"
        library.visit = getattr(library, name)
        library.visit.argtypes = (_ID, number, number, _VISITOR, pointer)
    except AttributeError as error:
        raise UnsupportedFormatError(
            f"HDF5 is not read here: this GDAL's library cannot be asked whether a file takes its "
            f"values from others ({error})",
            hint="install rasterio from its wheel, or convert the file to GeoTIFF first",
        ) from error
    return library


if __name__ == "__main__":
    sys.stdout.write(_references_in(sys.argv[1]))
