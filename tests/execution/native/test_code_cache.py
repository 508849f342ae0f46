"""Kept machine code is that of the code there is, and nobody else's."""

from __future__ import annotations

import ast
import grp
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from llvmlite import binding

import geobatch_tui
from geobatch_tui.execution.native import code_cache, linker
from geobatch_tui.execution.native.loop import Loop
from geobatch_tui.execution.raster.kernels import pixel_loops as loops
from geobatch_tui.execution.vector.kernels import feature_loops as features

EXECUTION = Path(geobatch_tui.__file__).parent / "execution"
ROOMS = ("native", "raster/kernels", "vector/kernels")


def imports_jit(path: Path) -> bool:
    """Whether a module of execution has functions compiled."""
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "geobatch_tui.execution.native.jit"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_all_that_is_compiled_is_in_the_key():
    """Else an upgrade that changes such a module alone would run the machine code of the last."""
    listed = set(code_cache.compiled_modules())
    assert {path for path in EXECUTION.rglob("*.py") if imports_jit(path)} <= listed
    called = [loop for room in (loops, features) for loop in vars(room).values()]
    homes = {
        EXECUTION / loop.package / "kernels" / f"{loop.module.replace('.', '/')}.py"
        for loop in called
        if isinstance(loop, Loop)
    }
    assert len(homes) > 10
    assert homes <= listed


def test_each_of_them_changes_the_key(tmp_path, monkeypatch):
    """Of each module of compiled functions, and of those that link them."""
    before = code_cache.digest()
    for room in ROOMS:
        shutil.copytree(EXECUTION / room, tmp_path / room)
    monkeypatch.setattr(code_cache, "__file__", str(tmp_path / "native" / "code_cache.py"))
    assert code_cache.digest() == before
    seen = {before}
    for path in code_cache.compiled_modules():
        with path.open("a") as file:
            file.write("# changed\n")
        assert code_cache.digest() not in seen
        seen.add(code_cache.digest())


@pytest.fixture(name="asked")
def _asked(monkeypatch, tmp_path):
    """What is said of a cache in ``tmp_path``/home/cache, asked anew."""
    (tmp_path / "home").mkdir(mode=0o755)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    yield code_cache.cache_directory.__wrapped__
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
    assert asked() == tmp_path / "own" / "geobatch" / "kernels" / code_cache.digest()


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
    assert code_cache.read_trusted(path) == b"code"
    path.chmod(0o666)
    assert code_cache.read_trusted(path) is None
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        assert code_cache.read_trusted(path) is None
    link, pipe = tmp_path / "link.o", tmp_path / "pipe.o"
    link.symlink_to(path)
    os.mkfifo(pipe)
    assert code_cache.read_trusted(link) is None
    assert code_cache.read_trusted(pipe) is None
    assert code_cache.read_trusted(tmp_path / "none.o") is None


def test_a_group_of_ones_own_may_write(monkeypatch, tmp_path):
    """As by the umask of many systems; any other group may not."""
    path = tmp_path / "folder"
    path.mkdir(mode=0o700)
    path.chmod(0o770)
    me = pwd.getpwuid(os.geteuid()).pw_name
    for group, members, taken in (
        (me, [], True),
        (me, [me], True),
        (me, [me, "other"], False),
        ("staff", [me], False),
    ):
        found = SimpleNamespace(gr_name=group, gr_mem=members)
        monkeypatch.setattr(grp, "getgrgid", lambda _gid, found=found: found)
        assert code_cache.is_ours_alone(path) == taken


LOOP = """
import sys
from llvmlite import binding
del binding.create_mcjit_compiler
import numpy as np
from geobatch_tui.execution.worker import warmup
from geobatch_tui.execution.raster.kernels import pixel_loops as loops
from geobatch_tui.execution.native import linker as native
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
    for name in ("ObjectFileRef", "JITLibraryBuilder"):  # numba itself needs neither
        monkeypatch.delattr(binding, name)
    monkeypatch.setattr(linker, "object_folder", linker.object_folder.__wrapped__)
    monkeypatch.setattr(linker, "prepare", linker.prepare.__wrapped__)
    raw, out = np.arange(12, dtype="u1").reshape(2, 2, 3), np.empty((3, 2, 2), "u1")
    loop = Loop.of("predictors.sum_differences", "T:3 T:3")
    loop(raw, out)
    np.testing.assert_array_equal(out, np.cumsum(raw, axis=1, dtype="u1").transpose(2, 0, 1))
    assert [function for function, _ in loop._functions.values()] == [None]
    assert not linker.prepare()
