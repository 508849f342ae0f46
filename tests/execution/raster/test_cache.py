"""Kept machine code is that of the code there is, and nobody else's."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import geobatch_tui
from geobatch_tui.execution.raster import cache, loops, native

EXECUTION = Path(geobatch_tui.__file__).parent / "execution"
#: Modules that compiled ones import for functions that are not compiled.
NOT_COMPILED = {"raster/compiled", "vector/loops", "vector/wkb"}


def imported(module: str) -> set[str]:
    """Modules of the packages raster and vector that ``module`` imports, as raster/kernels."""
    found = set()
    for node in ast.walk(ast.parse((EXECUTION / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            places = (name.removeprefix("geobatch_tui.execution.").split(".") for name in names)
            found |= {"/".join(place) for place in places}
    return {place for place in found if (EXECUTION / f"{place}.py").exists() and "/" in place}


def test_all_that_is_compiled_is_in_the_key():
    """Else an upgrade that changes such a module alone would run the machine code of the last."""
    listed = {
        name.removeprefix("../") if "/" in name else f"raster/{name}" for name in cache.MODULES
    }
    compiling = {
        f"{package}/{path.stem}"
        for package in ("raster", "vector")
        for path in (EXECUTION / package).glob("*.py")
        if "raster/compiled" in imported(f"{package}/{path.stem}") and path.stem != "native"
    }
    assert listed == compiling
    assert set().union(*map(imported, listed)) - NOT_COMPILED <= listed
    called = [*vars(loops).values()]
    assert {f"raster/{one.module}" for one in called if isinstance(one, native.Loop)} <= listed


@pytest.mark.parametrize("name", [*cache.MODULES, "loops", "../vector/loops", "compiled", "native"])
def test_each_of_them_changes_the_key(name, tmp_path, monkeypatch):
    before = cache.digest()
    for package in ("raster", "vector"):
        shutil.copytree(EXECUTION / package, tmp_path / package)
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "raster" / "cache.py"))
    assert cache.digest() == before
    with (tmp_path / "raster" / f"{name}.py").open("a") as file:
        file.write("# changed\n")
    assert cache.digest() != before


@pytest.fixture(name="asked")
def _asked(monkeypatch, tmp_path):
    """What is said of a cache in ``tmp_path``/home/cache, asked anew."""
    (tmp_path / "home").mkdir(mode=0o755)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    yield cache.cache_directory.__wrapped__
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o700)  # noqa: PTH101 - of every folder


def test_the_cache_is_private(asked, tmp_path, monkeypatch):
    """Whatever the umask: all that is made for it is this user's alone."""
    before = os.umask(0)
    try:
        made = asked()
    finally:
        os.umask(before)
    assert made.is_relative_to(tmp_path / "home" / "cache" / "geobatch")
    while made != tmp_path / "home":
        assert made.stat().st_mode & 0o777 == 0o700
        made = made.parent
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert asked() == tmp_path / "own" / "geobatch" / "kernels" / cache.digest()


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o707, 0o1777])
@pytest.mark.parametrize("above", [0, 1, 2, 3, 4])
def test_a_cache_that_others_may_write_to_is_not_used(asked, above, mode):
    """Nor one in a folder in which they may put another: pip does the same."""
    made = asked()
    place = [made, *made.parents][above]
    place.chmod(mode)
    sticky_parent = above > 0 and mode == 0o1777
    assert (asked() is None) != sticky_parent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("above", [0, 1, 4])
def test_a_cache_of_another_user_is_not_used(asked, above):
    """As of the user whose HOME sudo keeps."""
    made = asked()
    os.chown([made, *made.parents][above], 12345, -1)
    assert asked() is None


def test_an_object_that_others_may_write_is_not_linked(tmp_path):
    """Nor a link, nor a pipe, nor a file of somebody else's."""
    path = tmp_path / "one.o"
    path.write_bytes(b"code")
    path.chmod(0o600)
    assert cache.read_trusted(path) == b"code"
    path.chmod(0o666)
    assert cache.read_trusted(path) is None
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        assert cache.read_trusted(path) is None
    link, pipe = tmp_path / "link.o", tmp_path / "pipe.o"
    link.symlink_to(path)
    os.mkfifo(pipe)
    assert cache.read_trusted(link) is None
    assert cache.read_trusted(pipe) is None
    assert cache.read_trusted(tmp_path / "none.o") is None


def test_a_group_of_ones_own_may_write(monkeypatch, tmp_path):
    """As by the umask of many systems; any other group may not."""
    path = tmp_path / "folder"
    path.mkdir(mode=0o700)
    path.chmod(0o770)
    monkeypatch.setattr(cache, "_is_own_group", lambda gid: gid == os.getegid())
    assert cache.is_ours_alone(path)
    monkeypatch.setattr(cache, "_is_own_group", lambda _: False)
    assert not cache.is_ours_alone(path)


LOOP = """
import sys
from llvmlite import binding
del binding.create_mcjit_compiler
import numpy as np
from geobatch_tui.execution import warmup
from geobatch_tui.execution.raster import loops, native
native.prepare()
raw, out = np.arange(12, dtype="u1").reshape(2, 2, 3), np.empty((3, 2, 2), "u1")
loops.sum_differences(raw, out)
assert "numba" not in sys.modules
print(out.sum())
"""


def test_linked_without_mcjit():
    """LLVM is to drop it; numba, which has it too, is not asked."""
    raw, out = np.arange(12, dtype="u1").reshape(2, 2, 3), np.empty((3, 2, 2), "u1")
    loops.sum_differences(raw, out)  # so that its code is kept
    words = [sys.executable, "-c", LOOP]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"{out.sum()}\n"


def test_without_a_linker_numba_calls_the_loops(monkeypatch):
    """An llvmlite that has neither of those that are known."""
    monkeypatch.setattr(native, "_MCJIT", ("gone",))
    monkeypatch.setattr(native, "_ORC", ("gone",))
    monkeypatch.setattr(native, "_directory", native._directory.__wrapped__)
    monkeypatch.setattr(native, "prepare", native.prepare.__wrapped__)
    raw, out = np.arange(12, dtype="u1").reshape(2, 2, 3), np.empty((3, 2, 2), "u1")
    loop = native.Loop.of("predictors.sum_differences", "T:3 T:3")
    loop(raw, out)
    np.testing.assert_array_equal(out, np.cumsum(raw, axis=1, dtype="u1").transpose(2, 0, 1))
    assert [function for function, _ in loop._found.values()] == [None]
    assert native.prepare() is None
