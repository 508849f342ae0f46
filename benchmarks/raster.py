"""Measures raster jobs against their peers, in turn, and compares what they wrote.

Usage: ``uv run python benchmarks/raster.py [--rounds N] [ROW ...]``

Each row is a piece of work with several contestants. They run one after another in each round
(A B A B), in an empty directory, with a warm page cache; a table gives the medians of wall time,
CPU time and peak memory, the ratio of geobatch to the peer and what it may be, how far their pixels
differ, and the ratio to the floor: decoding the source and encoding the result on all cores, and
nothing else. The table goes to ``results/raster.json``, the ratios to ``results/raster.png``.
Absolute figures drift with the machine: only the ratios of one sitting mean anything.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from data import path_of
from floor import floor
from jobs import write_job
from measure import MB, RESULTS, Measured, checked, geobatch, median, table
from raster_rows import ROWS
from rasterio.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raster_rows import Row


@dataclass(frozen=True, slots=True)
class Contestant:
    """A command and the file that it writes."""

    name: str
    command: list[str]
    result: Path


def contestants(row: Row, directory: Path) -> list[Contestant]:
    """Geobatch and those peers of a row that are installed."""
    source = path_of(row.data)
    out = directory / "geobatch"
    many = source.is_dir()
    inputs = sorted(source.glob("*.tif")) if many else [source]
    job = write_job(directory / "job.toml", inputs, out, row.op, output=row.output)
    ours = geobatch("run", str(job), "--headless")
    found = [Contestant("geobatch", ours, out if many else out / source.name)]
    for name, command in row.peers.items():
        program = Path(sys.executable).with_name(command[0])
        words = [str(program) if program.exists() else command[0], *command[1:]]
        if shutil.which(words[0]) is None:
            print(f"{name} is not installed: left out")
            continue
        target = directory / (name if many else f"{name}.tif")
        if many:
            one = shlex.join([*words, "SOURCE", "TARGET"])
            one = one.replace("SOURCE", f"{shlex.quote(str(source))}/{{}}")
            one = one.replace("TARGET", f"{shlex.quote(str(target))}/{{}}")
            listed = f"ls {shlex.quote(str(source))} | xargs -P2 -I{{}} {one}"
            words = ["sh", "-c", f"mkdir {shlex.quote(str(target))} && {listed}"]
        else:
            words += [str(source), str(target)]
        found.append(Contestant(name, words, target))
    return found


def clear(contestant: Contestant) -> None:
    """Remove what an earlier round left."""
    result = contestant.result
    # Beside the file of geobatch there is its state.
    at = result.parent if contestant.name == "geobatch" and result.suffix else result
    if at.is_dir():
        shutil.rmtree(at)
    else:
        at.unlink(missing_ok=True)


def files_of(result: Path) -> list[Path]:
    """The rasters of a result: itself, or those in it."""
    return sorted(result.glob("*.tif")) if result.is_dir() else [result]


def difference(ours: Path, theirs: Path) -> str:
    """How two results differ: share of samples that are not equal, and by more than 1."""
    unequal = more = total = 0
    for one in files_of(ours):
        other = theirs / one.name if theirs.is_dir() else theirs
        with rasterio.open(one) as a, rasterio.open(other) as b:
            if a.shape != b.shape or not a.transform.almost_equals(b.transform, 1e-6):
                return f"other grid: {a.shape} {b.shape}"
            bands = list(range(1, min(a.count, b.count) + 1))
            for row in range(0, a.height, 512):
                window = Window(0, row, a.width, min(512, a.height - row))
                pair = [src.read(bands, window=window).astype("f8") for src in (a, b)]
                delta = np.abs(pair[0] - pair[1])
                unequal += int(np.count_nonzero(delta)) - int(np.isnan(pair).all(axis=0).sum())
                more += int(np.count_nonzero(delta > 1))
                total += delta.size
    return f"{unequal / total:.2%} / {more / total:.3%}"


def compete(name: str, row: Row, rounds: int) -> list[dict[str, Any]]:
    """Run all contestants of a row in turn, once to weigh them and ``rounds`` times by the clock;
    one table line for each."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    weighed: dict[str, Measured] = {}
    floors: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        field = contestants(row, Path(scratch))
        for turn in range(rounds + 1):
            for contestant in field:
                clear(contestant)
                done = checked(contestant.command, weigh=not turn)
                if turn:
                    runs[contestant.name].append(done)
                else:
                    weighed[contestant.name] = done
            if field[0].result.is_file():
                floors.append(floor(path_of(row.data), field[0].result))
        ours = field[0]
        size = {c.name: sum(f.stat().st_size for f in files_of(c.result)) for c in field}
        differ = {c.name: difference(ours.result, c.result) for c in field[1:]}
    base = median([run.seconds for run in runs[ours.name]])
    first = field[1].name if len(field) > 1 else ""
    return [
        {
            "row": name,
            "who": who,
            "wall s": median([run.seconds for run in taken]),
            "ratio": base / median([run.seconds for run in taken]),
            "limit": (row.limit or "") if who == first else "",
            "CPU s": median([run.cpu for run in taken]),
            "RSS MB": round(weighed[who].tree_rss / MB),
            "PSS MB": round(weighed[who].tree_pss / MB),
            "file MB": size[who] / MB,
            "differ / >1": differ.get(who, ""),
            "wall/floor": median([run.seconds for run in taken]) / median(floors) if floors else "",
        }
        for who, taken in runs.items()
    ]


def write_results(lines: list[dict[str, Any]], name: str = "raster") -> None:
    """Keep the table as JSON, and the ratios as a picture."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(lines, indent=1))
    try:
        from figures import bars
    except ImportError:
        print("matplotlib is not installed: no picture")
        return
    peers = [line for line in lines if line["limit"] != ""]
    names = [f"{line['row']} / {line['who']}" for line in peers]
    bars(
        RESULTS / f"{name}.png",
        names,
        [line["ratio"] for line in peers],
        [line["limit"] for line in peers],
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure the named rows, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(words)
    unknown = set(given.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    lines: list[dict[str, Any]] = []
    for name in given.rows or ROWS:
        lines += compete(name, ROWS[name], given.rounds)
        print(table([line for line in lines if line["row"] == name]), flush=True)
        write_results(lines)
    print()
    print(table(lines))


if __name__ == "__main__":
    main()
