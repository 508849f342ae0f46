"""The command ``geobatch``. Does as little as it can before the command line is known."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

#: Objects that are made before Python looks for garbage. Imports make hundreds of thousands that
#: stay, most of them where Dask is loaded, and were looked through again and again.
_YOUNG = 300_000
#: As ``ExitCode.SIGINT``, whose module is not loaded yet.
_INTERRUPTED = 130
_WITH_CONSOLE = {"run", "watch"}
_WITH_WORKERS = {"run", "retry", "plan", "demo", "trial"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default with the words of this process; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        from geobatch_tui import __version__

        sys.stdout.write(f"geobatch {__version__}\n")
        return 0
    if _may_open_console(words):
        # Before anything is loaded: the shell waits for a process that can let it go.
        from geobatch_tui.tui.kit.waiting_parent import fork_console

        words = fork_console(words)
    if _wants_processes(words):
        # First of all: workers warm up (GDAL loads) while this process still reads the job file.
        from geobatch_tui.orchestration.workers.fork_server import start_fork_server

        start_fork_server(_preload(words[1:]))
    # No plug-in of pydantic is of use here, and to look for them takes as long as a good module.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from geobatch_tui.cli.boundary import run_command

    return run_command(words)


def _may_open_console(words: list[str]) -> bool:
    """Whether this command may open the console: it has a terminal, and is not told otherwise."""
    if words and words[0] not in _WITH_CONSOLE and "--tui" not in words:
        return False
    if not {"--help", "-h", "--detach", "--headless"}.isdisjoint(words):
        return False
    return os.environ.get("TERM") != "dumb" and all(map(_is_terminal, (0, 1)))


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _wants_processes(words: list[str]) -> bool:
    """Whether this command will most likely start worker processes of its own."""
    if not words or words[0] not in _WITH_WORKERS:
        return False
    if not {"--help", "-h", "--detach"}.isdisjoint(words):
        return False
    named = os.environ.get("GEOBATCH_ENGINE__EXECUTOR", "")
    for word in words:
        if "engine.executor=" in word:
            named = word.rpartition("=")[2]
    if named:
        return named == "process"
    # A plan of a job for a cluster is made here all the same.
    return words[0] == "plan" or not _names_another_executor(words[1:])


def _preload(words: list[str]) -> str:
    """What workers load early, as far as can be told without reading the job: a wrong guess costs
    time and nothing else."""
    if _names_vectors(words):
        return "vector"
    return "chain" if _names_steps(words) else "raster"


#: In jobs with a chain of steps.
_SIGNS_OF_STEPS = (b"[[step]]", b"pipeline", b"gdal_streamed_alg")


def _names_steps(words: list[str]) -> bool:
    """Whether the command is about a chain of steps."""
    if any("!" in word for word in words):
        return True
    return any(sign in head for head in _heads(words) for sign in _SIGNS_OF_STEPS)


#: In jobs about features: the names of operations, and the formats of chains of steps.
_SIGNS_OF_VECTORS = (b"vector.", b"GeoParquet", b"FlatGeobuf", b"GPKG", b"GeoJSON", b"Shapefile")


def _names_vectors(words: list[str]) -> bool:
    """Whether the command is about features."""
    if any("vector." in word for word in (*words, os.environ.get("GEOBATCH_OP__NAME", ""))):
        return True
    return any(sign in head for head in _heads(words) for sign in _SIGNS_OF_VECTORS)


#: Workers of such jobs are threads, or run on the nodes of a cluster. In TOML, and in JSON.
_SIGNS_OF_OTHERS = tuple(
    before + name + quote
    for before, quote in ((b'executor="', b'"'), (b"executor='", b"'"), (b'"executor":"', b'"'))
    for name in (b"thread", b"dask")
)


def _names_another_executor(words: list[str]) -> bool:
    """Whether the job of a command has no worker processes on this machine, as far as can be told
    without reading it: a fork server would load GDAL, and nobody would use it."""
    lines = [line.replace(b" ", b"") for head in _heads(words) for line in head.splitlines()]
    read = [line for line in lines if not line.startswith(b"#")]
    return any(sign in line for line in read for sign in _SIGNS_OF_OTHERS)


def _heads(words: list[str]) -> list[bytes]:
    """The beginnings of the job files, and of the plans of earlier runs, that words may name."""
    return [_head(path) for word in words for path in (word, f"{word}/.geobatch/plan.json")]


def _head(path: str) -> bytes:
    """The beginning of a regular file; empty for all else: a pipe gives its bytes but once."""
    import stat

    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(file, 1 << 16) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)


def open_standard_streams() -> None:
    """Open what is closed of the descriptors 0, 1 and 2 on /dev/null, before any file, pipe or
    database takes their numbers: a worker leads its own output there."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = open(fd, mode, closefd=False)  # noqa: SIM115 - a descriptor, for good
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def command() -> NoReturn:
    """Run the command line, and end the process with its exit code.

    What is registered for the end is run; but objects are not taken down one by one, which takes a
    tenth of a second that whoever waits for the exit code would wait too.
    """
    import atexit

    gc.set_threshold(_YOUNG)
    open_standard_streams()
    try:
        code = main()
    except KeyboardInterrupt:  # while modules are loaded: nothing has begun
        code = _INTERRUPTED
    atexit._run_exitfuncs()  # noqa: SLF001 -- what the interpreter itself calls
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # its reader is gone, or it was closed
            continue
    os._exit(code)


if __name__ == "__main__":
    command()
