"""A small datum grid in the format NTv2: no real one is at hand offline.

Its shifts are made up, but smooth, and no two nodes have the same. PROJ takes it for the grid of the
name that it is given, which must be one that PROJ asks for, as OSTN15's between EPSG:27700 and 4326.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

#: The grid that PROJ looks for between OSGB36 and WGS 84, and its extent in degrees.
OSTN15 = "uk_os_OSTN15_NTv2_OSGBtoETRS.tif"
SOUTH, NORTH, WEST, EAST = 49.0, 61.0, -9.0, 2.0
_STEP = 0.25


def write(path: Path) -> None:
    """Write the grid to ``path``; its shifts are some seconds of arc."""
    rows, cols = round((NORTH - SOUTH) / _STEP) + 1, round((EAST - WEST) / _STEP) + 1
    lat, lon = np.meshgrid(
        np.linspace(SOUTH, NORTH, rows), np.linspace(EAST, WEST, cols), indexing="ij"
    )
    nodes = np.zeros((rows, cols, 4), "<f4")
    nodes[..., 0] = 2 + np.sin(lat * 0.7) + 0.3 * np.cos(lon * 0.9)
    nodes[..., 1] = 4 + np.cos(lat * 0.5) * np.sin(lon * 0.4)
    path.write_bytes(
        b"".join(
            (
                _whole("NUM_OREC", 11), _whole("NUM_SREC", 11), _whole("NUM_FILE", 1),
                _text("GS_TYPE", "SECONDS"), _text("VERSION", "GEOBATCH"),
                _text("SYSTEM_F", "OSGB36"), _text("SYSTEM_T", "ETRS89"),
                _real("MAJOR_F", 6377563.396), _real("MINOR_F", 6356256.909),
                _real("MAJOR_T", 6378137.0), _real("MINOR_T", 6356752.314),
                _text("SUB_NAME", "ALL"), _text("PARENT", "NONE"),
                _text("CREATED", "19700101"), _text("UPDATED", "19700101"),
                _real("S_LAT", SOUTH * 3600), _real("N_LAT", NORTH * 3600),
                _real("E_LONG", -EAST * 3600), _real("W_LONG", -WEST * 3600),
                _real("LAT_INC", _STEP * 3600), _real("LONG_INC", _STEP * 3600),
                _whole("GS_COUNT", rows * cols), nodes.tobytes(), _real("END", 0.0),
            )
        )
    )  # fmt: skip


def _whole(name: str, value: int) -> bytes:
    return struct.pack("<8si4x", name.ljust(8).encode(), value)


def _real(name: str, value: float) -> bytes:
    return struct.pack("<8sd", name.ljust(8).encode(), value)


def _text(name: str, value: str) -> bytes:
    return struct.pack("<8s8s", name.ljust(8).encode(), value.ljust(8).encode())
