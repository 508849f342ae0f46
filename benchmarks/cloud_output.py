"""Measures outputs to a store: against the same into a directory and the time to send its bytes.

Rows of ``cloud.py``. A server on loopback, a process of its own, takes each request after 30 ms and
50 MB/s on each connection. What sends the bytes alone is obstore, in parts and as many at once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import path_of
from jobs import reproject, write_job
from measure import MB, ROOT, Measured, checked, geobatch, median
from raster import files_of
from raster_rows import CREATION

#: Seconds a request, bytes a second of a connection.
LATENCY, RATE = 0.030, 50e6
#: Warps to a COG that goes to a store: the data, and what wall time may be as a ratio to the same
#: into a directory and the time to send its bytes by a client that does nothing else.
SENT = {"6933-to-store": ("relief", 1.2), "float-to-store": ("float-nan", 1.2)}
PART, AT_ONCE = 8 << 20, 8


@dataclass(slots=True)
class Contestant:
    """A command, and the directory that it begins with empty; what its runs took, and what the last
    asked a server for, where that is counted."""

    name: str
    command: list[str]
    directory: Path
    env: dict[str, str] = field(default_factory=dict)
    runs: list[Measured] = field(default_factory=list)
    traffic: dict[str, Any] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin with an empty directory. What an earlier run wrote is kept beside it until all are
        over: for a minute, ext4 gives no file the inode of a deleted one, but looks at each."""
        if self.directory.exists():
            self.directory.rename(
                self.directory.with_name(f"{self.directory.name}.{len(self.runs)}")
            )
        self.directory.mkdir()


def send(path: Path, url: str) -> None:
    """Send a file in parts, as many at once as geobatch does, by a client that does only that."""
    import obstore
    from obstore.store import S3Store

    client = {"allow_http": True}
    keys = {"access_key_id": "key", "secret_access_key": "key"}
    store = S3Store("sent", endpoint=url, region="us-east-1", client_options=client, **keys)
    obstore.put(store, path.name, path, chunk_size=PART, max_concurrency=AT_ONCE)


def compete_to_store(name: str, rounds: int) -> list[dict[str, Any]]:
    """Warp into a store, into a directory, and send what that gave, in turn. Ends the benchmark if
    the object is not the file."""
    data, limit = SENT[name]
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        kept = scratch / "kept"
        kept.mkdir()
        server = ROOT / "tests" / "disk_store.py"
        words = [sys.executable, str(server), str(kept), "0", str(LATENCY), str(RATE)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = process.stdout.readline().strip() if process.stdout else ""
                fields = senders(data, f"http://127.0.0.1:{port}", scratch)
                for _ in range(rounds):
                    shutil.rmtree(kept, ignore_errors=True)
                    kept.mkdir()
                    for each in fields:
                        each.clear()
                        each.runs.append(checked(each.command, each.env, weigh=False))
                    (file,) = files_of(fields[1].directory)
                    (found,) = (kept / "results" / "objects").iterdir()
                    if found.read_bytes().partition(b"\n")[2] != file.read_bytes():
                        raise SystemExit(f"{name}: the object is not the file")
            finally:
                process.kill()
        size = file.stat().st_size
    wall = {each.name: median([run.seconds for run in each.runs]) for each in fields}
    wall["local + send"] = wall["local"] + wall["send"]
    return [
        {
            "row": name,
            "who": who,
            "wall s": seconds,
            "ratio": wall["geobatch"] / seconds,
            "limit": limit if who == "local + send" else "",
            "CPU s": next(
                (median([run.cpu for run in each.runs]) for each in fields if each.name == who), ""
            ),
            "MB": size / MB,
        }
        for who, seconds in wall.items()
    ]


def senders(data: str, endpoint: str, scratch: Path) -> list[Contestant]:
    """Geobatch into a store and into a directory, and what sends the latter's output."""
    op, source = reproject("EPSG:6933", "bilinear"), path_of(data)
    output = {"format": "COG", "creation": CREATION}
    local = scratch / "local"
    job = write_job(scratch / "local.toml", [source], local, op, output=output)
    table = {"endpoint": endpoint, "region": "us-east-1"}
    table |= {"access_key": "env:STORE_KEY", "secret_key": "env:STORE_KEY"}
    stored = write_job(
        scratch / "stored.toml", [source], local, op, output=output,
        storage={"s3://results": table},
    )  # fmt: skip
    # A path has no double slash.
    stored.write_text(stored.read_text().replace(f'"{local}"', '"s3://results/out"'))
    state = scratch / "state"
    env = {"STORE_KEY": "key", "XDG_STATE_HOME": str(state)}
    sent = [sys.executable, __file__, str(local / f"{source.stem}.tif"), endpoint]
    return [
        Contestant("geobatch", geobatch("run", str(stored), "--headless"), state, env),
        Contestant("local", geobatch("run", str(job), "--headless"), local),
        Contestant("send", sent, scratch / "sent"),
    ]


if __name__ == "__main__":
    send(Path(sys.argv[1]), sys.argv[2])
