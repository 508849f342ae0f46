"""Measures chains of steps against what people chain today, in turn, and compares what they wrote.

Usage: ``uv run --group bench python benchmarks/steps.py [--rounds N] [ROW ...]``

Rows are those of ``step_rows.py``: whole processes in turn (A B A B), medians of wall and CPU
seconds, the peak memory of the process tree in a run of its own. The peers are GDAL's command line
tools, pipelines of GDAL 3.13 from the package ``gdal-wheel``, and scripts. Rows named ``added-...``
hold a chain against the same chain without its last step. The samples of all are compared: which
differ, by more than the row allows, by how much at most, and which pixels are valid in one alone.
The table goes to ``results/steps.json``, ratios and memory to ``results/steps.png``. The program
fails if a result differs by more than its row allows.
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
from jobs import write_job
from measure import MB, RESULTS, Measured, checked, geobatch, median, table
from rasterio.enums import ColorInterp
from rasterio.windows import Window
from step_rows import OUTPUT, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from step_rows import Agreement, Peer, Work

#: What all processes of a chain may take, in MB.
MEMORY = 500


@dataclass(frozen=True, slots=True)
class Contestant:
    """A command, the directory that it fills, and the peer that it is; None: geobatch."""

    name: str
    command: list[str]
    directory: Path
    peer: Peer | None = None

    @property
    def result(self) -> Path:
        """The raster that it wrote."""
        found = sorted(self.directory.glob("*.tif"), key=lambda file: len(file.name))
        if not found:
            raise SystemExit(f"{self.name} wrote no raster to {self.directory}")
        return found[0]

    def clear(self) -> None:
        """Begin with an empty directory."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()


@dataclass(frozen=True, slots=True)
class Difference:
    """How two rasters differ: shares of samples that do, and by more than allowed; the largest
    difference; the share of pixels that are valid in one alone."""

    any: float
    more: float
    most: float
    valid: float

    def within(self, agreement: Agreement) -> bool:
        return self.more <= agreement.share and self.valid <= agreement.valid


def job_of(work: Work, steps: list[dict[str, Any]], place: Path, out: Path) -> list[str]:
    """The command of geobatch for a chain, whose job file lies at ``place``."""
    source = path_of(work.data)
    inputs = [source / "*.tif"] if source.is_dir() else [source]
    op = {"name": "raster.pipeline", "steps": steps}
    # Code that does not lie beside the job has to be asked for.
    options = {"inputs": list(map(str, inputs)), "allow_code": any("use" in s for s in steps)}
    job = write_job(place, inputs, out, op, output=OUTPUT, source=options)
    return geobatch("run", str(job), "--headless")


def contestants(work: Work, scratch: Path) -> list[Contestant]:
    """Geobatch and those peers of a row that are installed."""
    ours = scratch / "geobatch"
    found = [Contestant("geobatch", job_of(work, work.steps, scratch / "job.toml", ours), ours)]
    for number, (name, peer) in enumerate(work.peers.items()):
        directory = scratch / f"peer{number}"
        if peer.steps:
            command = job_of(work, peer.steps, scratch / f"peer{number}.toml", directory)
        else:
            missing = [words[0] for words in peer.commands if program(words[0]) is None]
            if missing:
                print(f"{missing[0]} is not installed: {name} is left out")
                continue
            command = commands(work, peer, scratch / f"files{number}", directory / "result.tif")
        found.append(Contestant(name, command, directory, peer))
    return found


def program(name: str) -> str | None:
    """Where a program is: in this environment, else on the path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def commands(work: Work, peer: Peer, prefix: Path, target: Path) -> list[str]:
    """The commands of a peer, as one of a shell where there are several."""
    source = path_of(work.data)
    if source.is_dir():
        files = sorted(source.glob("*.tif"))
        prefix.with_name(f"{prefix.name}.txt").write_text("\n".join(map(str, files)))
    names = {"{source}": source, "{target}": target, "{scratch}": prefix}
    parts = []
    for words in peer.commands:
        filled = [program(words[0]) or words[0], *words[1:]]
        for name, path in names.items():
            filled = [word.replace(name, str(path)) for word in filled]
        parts.append(filled)
    return parts[0] if len(parts) == 1 else ["sh", "-c", " && ".join(map(shlex.join, parts))]


def difference(ours: Path, theirs: Path, agreement: Agreement) -> Difference:
    """Compare all bands but alpha of two rasters on the same grid. Ends the benchmark if they are
    not on the same."""
    unequal = more = total = one_sided = pixels = 0
    most = 0.0
    with rasterio.open(ours) as a, rasterio.open(theirs) as b:
        near = a.transform.almost_equals(b.transform, 1e-6 * abs(a.transform.a))
        if a.shape != b.shape or a.count != b.count or not near:
            forms = [(src.count, *src.shape, *src.transform[:6]) for src in (a, b)]
            raise SystemExit(f"{ours} and {theirs} have other grids: {forms[0]}, {forms[1]}")
        bands = [band for band in a.indexes if a.colorinterp[band - 1] != ColorInterp.alpha]
        for row in range(0, a.height, 512):
            window = Window(0, row, a.width, min(512, a.height - row))
            one, other = (src.read(bands, window=window).astype("f8") for src in (a, b))
            seen, seen_other = (
                (src.read_masks(bands, window=window) > 0) & ~np.isnan(values)
                for src, values in ((a, one), (b, other))
            )
            one_sided += int(np.count_nonzero((seen != seen_other).any(axis=0)))
            both = seen & seen_other
            delta = np.abs(one - agreement.sign * other)[both]
            unequal += int(np.count_nonzero(delta))
            more += int(np.count_nonzero(delta > agreement.by))
            most = max(most, float(delta.max(initial=0.0)))
            total += delta.size
            pixels += seen[0].size
    total = max(total, 1)
    return Difference(unequal / total, more / total, most, one_sided / pixels)


def compete(name: str, work: Work, rounds: int) -> list[dict[str, Any]]:
    """Run all contestants of a row in turn, once to weigh them and ``rounds`` times by the clock;
    one table line for each."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    weighed: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as scratch:
        field = contestants(work, Path(scratch))
        for turn in range(rounds + 1):
            for contestant in field:
                contestant.clear()
                done = checked(contestant.command, weigh=not turn)
                if turn:
                    runs[contestant.name].append(done)
                else:
                    weighed[contestant.name] = done
        ours = field[0].result
        found = {
            each.name: difference(ours, each.result, each.peer.agreement)
            for each in field if each.peer
        }  # fmt: skip
        sizes = {each.name: each.result.stat().st_size for each in field}
    mine = runs[field[0].name]
    wall, cpu = median([run.seconds for run in mine]), median([run.cpu for run in mine])
    lines = []
    for each in field:
        taken, told = runs[each.name], found.get(each.name)
        line: dict[str, Any] = {
            "row": name,
            "who": each.name,
            "wall s": median([run.seconds for run in taken]),
            "ratio": wall / median([run.seconds for run in taken]),
            "limit": each.peer.limit or "" if each.peer else "",
            "CPU s": median([run.cpu for run in taken]),
            "CPU ratio": cpu / median([run.cpu for run in taken]),
            "RSS MB": round(weighed[each.name].tree_rss / MB),
            "PSS MB": round(weighed[each.name].tree_pss / MB),
            "file MB": sizes[each.name] / MB,
            "differ": f"{told.any:.3%}" if told else "",
            "by more": f"{told.more:.4%}" if told else "",
            "most": told.most if told else "",
            "valid in one": f"{told.valid:.4%}" if told else "",
            "agrees": "",
        }
        if told and each.peer:
            line["agrees"] = "yes" if told.within(each.peer.agreement) else "NO"
        lines.append(line)
    return lines


def write_results(lines: list[dict[str, Any]]) -> None:
    """Keep the table as JSON; ratios and memory as pictures."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "steps.json").write_text(json.dumps(lines, indent=1))
    try:
        from figures import bars
    except ImportError:
        print("matplotlib is not installed: no picture")
        return
    limited = [line for line in lines if line["limit"] != ""]
    bars(
        RESULTS / "steps.png",
        [f"{line['row']} / {line['who']}" for line in limited],
        [line["ratio"] for line in limited],
        [line["limit"] for line in limited],
    )
    own = [line for line in lines if line["who"] == "geobatch"]
    bars(
        RESULTS / "steps-memory.png",
        [line["row"] for line in own],
        [float(line["PSS MB"]) for line in own],
        [float(MEMORY)] * len(own),
        label="peak memory (PSS) of the processes of geobatch, in MB",
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
    own = [line for line in lines if line["who"] == "geobatch"]
    worst = max(own, key=lambda line: line["PSS MB"])
    print(f"most memory: {worst['PSS MB']} MB in {worst['row']}; it may be {MEMORY}")
    wrong = [f"{line['row']} / {line['who']}" for line in lines if line["agrees"] == "NO"]
    if wrong:
        raise SystemExit(f"results differ by more than they may: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
