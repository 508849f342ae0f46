"""Measures jobs on objects of a store behind a slow network, against files and against GDAL.

Usage: ``uv run --group bench --group dev python benchmarks/cloud.py [--rounds N] [ROW ...]``

A server on loopback, a process of its own (``slow_store.py``), answers each request after 30 ms and
sends 50 MB/s on each connection. Contestants run in turn (A B A B), each in an empty directory; a
table gives the medians of wall and CPU seconds, the requests and bytes that each took, the most
requests at once, the CPU seconds that they cost the server, which shares the machine, the ratio of
geobatch's wall time to that of each peer and what it may be, and how far their pixels differ. The
program fails if pixels differ from those of geobatch on local files, or by more than 1 from
gdalwarp's in more than 0.1 % of the samples of a file on the same grid. The table goes to
``results/cloud.json``; with ``--trace DIR`` the requests of each contestant's last run go to a file
there, with their seconds.

Of many objects gdalwarp runs once as it comes, too (``plain``): it looks for files beside each. Its
ratio is that of geobatch as it comes, which looks as well (``looks``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_output import SENT, Contestant, compete_to_store
from data import path_of
from jobs import reproject, write_job
from measure import MB, RESULTS, ROOT, checked, geobatch, median, table
from raster import difference, files_of
from raster_rows import COG, CREATION, GTIFF, WARP

if TYPE_CHECKING:
    from collections.abc import Sequence

LATENCY, RATE = 0.030, 50e6
#: What GDAL's own pages, and those of titilers, set for objects behind a network.
TUNED = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "CPL_VSIL_CURL_CHUNK_SIZE": "1048576",
    "CPL_VSIL_CURL_CACHE_SIZE": "200000000",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "25000000",
    "GDAL_CACHEMAX": "512",
    "GDAL_NUM_THREADS": "2",
}


@dataclass(frozen=True, slots=True)
class Work:
    """A warp of a set of ``data.py``, and what its wall time may be as a ratio to each peer."""

    data: str
    crs: str
    form: str
    limits: dict[str, float]


_TILE_LIMITS = {"local": 0, "gdalwarp": 0.12, "plain": 0.12}
ROWS = {
    "6933-cog": Work("relief", "EPSG:6933", "COG", {"local": 1.25, "gdalwarp": 0.30}),
    "tiles-3857": Work("tiles", "EPSG:3857", "GTiff", _TILE_LIMITS),
}


class Server:
    """The server, a process of its own: its work is no contestant's."""

    def __init__(self, files: Path) -> None:
        words = [sys.executable, str(ROOT / "benchmarks" / "slow_store.py")]
        words += [str(files), str(LATENCY), str(RATE)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("the server has no pipes")
        self._ask, self._told = self._process.stdin, self._process.stdout
        self.root = self._told.readline().strip()

    def traffic(self) -> dict[str, Any]:
        """What was asked for since the last question."""
        self._ask.write("\n")
        self._ask.flush()
        told: dict[str, Any] = json.loads(self._told.readline())
        return told

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def contestants(work: Work, root: str, scratch: Path) -> list[Contestant]:
    """Geobatch on objects, told that nothing lies beside them, as the tuned gdalwarp is; as it
    comes, so that it looks; on files; gdalwarp, tuned; and, for many objects, as it comes."""
    source = path_of(work.data)
    names = sorted(path.name for path in source.glob("*.tif")) if source.is_dir() else [source.name]
    listed = scratch / "urls.txt"
    listed.write_text("".join(f"{root}/{name}\n" for name in names))
    op = reproject(work.crs, "bilinear")
    output = {"format": work.form, "creation": CREATION}
    found = []
    local = source / "*.tif" if source.is_dir() else source
    told = {root: {"sidecars": False}}
    for name, inputs in (
        ("geobatch", f"@{listed}"),
        ("looks", f"@{listed}"),
        ("local", str(local)),
    ):
        out = scratch / name
        more = {"storage": told} if name == "geobatch" else {}
        job = write_job(scratch / f"{name}.toml", [Path(inputs)], out, op, output=output, **more)
        if name != "local":  # a path has no double slash
            job.write_text(job.read_text().replace(str(Path(inputs)), inputs))
        found.append(Contestant(name, geobatch("run", str(job), "--headless"), out))
    options = COG if work.form == "COG" else GTIFF
    warp = [*(WARP if len(names) == 1 else ["gdalwarp", "-q"])]
    warp += ["-t_srs", work.crs, "-r", "bilinear", *options]
    target = scratch / "gdalwarp"
    one = shlex.join([*warp, f"/vsicurl/{root}/NAME", f"{target}/NAME"]).replace("NAME", "{}")
    listing = " ".join(map(shlex.quote, names))
    command = ["sh", "-c", f"printf '%s\\n' {listing} | xargs -P2 -I{{}} {one}"]
    found.append(Contestant("gdalwarp", command, target, TUNED))
    if len(names) > 1:
        plain = [command[0], command[1], command[2].replace(str(target), str(scratch / "plain"))]
        found.append(Contestant("plain", plain, scratch / "plain"))
    return found


def digests(directory: Path) -> list[str]:
    """The outputs of a directory, whole."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files_of(directory)]


def differing(ours: Path, theirs: Path) -> tuple[float, int]:
    """The largest share of samples, in per cent, that differ by more than 1 in a file, and how many
    files lie on another grid than gdalwarp's, which cuts at other places near the poles."""
    told = [difference(one, theirs / one.name) for one in files_of(ours)]
    shares = [float(one.rpartition(" ")[2].rstrip("%")) for one in told if one.endswith("%")]
    return max(shares, default=100.0), len(told) - len(shares)


def write_trace(path: Path, seen: list[list[Any]], began: float) -> None:
    """Write the requests of a run: seconds since it began, name, what was asked, bytes, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{at - began:8.3f} {' '.join(map(str, rest))}\n" for at, *rest in seen)
    path.write_text("".join(lines))


def compete(name: str, rounds: int, trace: Path | None = None) -> list[dict[str, Any]]:
    """Run the contestants of a row in turn; one table line for each. Ends the benchmark if they do
    not agree."""
    work = ROWS[name]
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(path_of(work.data))
        try:
            field = contestants(work, server.root, Path(scratch))
            for number in range(rounds):
                for each in field:
                    if each.name == "plain" and number:  # it takes minutes
                        continue
                    each.clear()
                    before, began = server.traffic(), time.monotonic()
                    each.runs.append(checked(each.command, each.env, weigh=False))
                    each.traffic = server.traffic()
                    each.traffic["cpu"] -= before["cpu"]
                    if trace is not None:
                        write_trace(trace / f"{name}-{each.name}.txt", each.traffic["seen"], began)
        finally:
            server.close()
        ours, looks, local, theirs, *plain = field
        made = [digests(each.directory) for each in (ours, looks, local)]
        if made[0] != made[2] or made[1] != made[2]:
            raise SystemExit(f"{name}: objects give other bytes than files")
        if any(digests(each.directory) != digests(theirs.directory) for each in plain):
            raise SystemExit(f"{name}: gdalwarp gives other files where it is tuned")
        worst, elsewhere = differing(ours.directory, theirs.directory)
        differs = f"{worst:.3f} %" + (f", {elsewhere} on another grid" if elsewhere else "")
        if worst > 0.1:
            raise SystemExit(f"{name}: gdalwarp gives other pixels: {differs}")
    wall = {each.name: median([run.seconds for run in each.runs]) for each in field}
    return [
        {
            "row": name,
            "who": each.name,
            "wall s": wall[each.name],
            "ratio": wall["looks" if each.name == "plain" else "geobatch"] / wall[each.name],
            "limit": work.limits.get(each.name) or "",
            "CPU s": median([run.cpu for run in each.runs]),
            "requests": each.traffic["requests"],
            "MB asked": each.traffic["bytes"] / MB,
            "at once": each.traffic["most"],
            "server CPU s": each.traffic["cpu"],
            ">1": differs if each is theirs else "",
        }
        for each in field
    ]


def main(words: Sequence[str] | None = None) -> None:
    """Measure the named rows, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join([*ROWS, *SENT]))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trace", type=Path, metavar="DIR")
    given = parser.parse_args(words)
    unknown = set(given.rows) - set(ROWS) - set(SENT)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    lines: list[dict[str, Any]] = []
    for name in given.rows or [*ROWS, *SENT]:
        if name in SENT:
            lines += compete_to_store(name, given.rounds)
        else:
            lines += compete(name, given.rounds, given.trace)
        print(table([line for line in lines if line["row"] == name]), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cloud.json").write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
