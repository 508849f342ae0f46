"""A node proves that it sees what the engine sees, and the engine that it sees the node's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geobatch_tui.errors import PreflightError
from geobatch_tui.orchestration.cluster.on_node import view_proof
from geobatch_tui.orchestration.cluster.on_node.view_proof import Token, look, sample


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(view_proof, "PATIENCE", 0.2)


@pytest.fixture
def token(tmp_path):
    for name in ("out", "state"):
        (tmp_path / name).mkdir()
    made = Token.written([str(tmp_path / "out"), str(tmp_path / "state")])
    yield made
    made.remove()
    assert not list(tmp_path.rglob(".geobatch-probe*")), "nothing stays"


async def looked(token, directories=None, sources=()):
    answer = token.answer_name()
    said = await look(directories or token.directories, token.name, token.word, answer, sources)
    return said, answer


async def test_both_ways(token, tmp_path):
    """The token is read there, the answer here; sources have the same size and time."""
    source = tmp_path / "a.tif"
    source.write_bytes(b"pixels")
    said, answer = await looked(token, sources=sample([str(source), "s3://bucket/b.tif"]))
    assert said == ""
    assert await token.answered(answer) == ""
    kept = Path(token.pass_file(answer))
    assert kept.parent.name == "state"
    assert list(tmp_path.rglob(answer)) == [kept], "its pass"
    token.withdraw(answer)
    assert not kept.exists()


async def test_a_node_without_the_directory(token, tmp_path):
    """Another disk is mounted there, or none."""
    for name in ("other", "none"):
        (tmp_path / "other").mkdir(exist_ok=True)
        said, _ = await looked(token, [str(tmp_path / name)])
        assert said == f"it does not see what the engine wrote to {tmp_path / name}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_node_that_may_only_read(token, tmp_path):
    """As another user, or from a mount that is read-only."""
    (tmp_path / "out").chmod(0o500)
    try:
        said, _ = await looked(token)
    finally:
        (tmp_path / "out").chmod(0o700)
    assert said.startswith(f"it cannot write to {tmp_path / 'out'}")


async def test_sources_of_a_node(token, tmp_path):
    """One that is missing would become dead letters, one that is another wrong pixels."""
    source = tmp_path / "a.tif"
    source.write_bytes(b"pixels")
    seen = sample([str(source)])
    source.write_bytes(b"others, and more")
    said, answer = await looked(token, sources=seen)
    assert said == f"it sees another file as the source {source}"
    token.withdraw(answer)
    source.unlink()
    said, answer = await looked(token, sources=seen)
    assert said.startswith(f"it cannot see the source {source}")
    token.withdraw(answer)


async def test_an_answer_that_does_not_come(token):
    """The node wrote to another disk of that name."""
    assert "does not see what it wrote" in await token.answered(token.answer_name())


def test_a_directory_that_cannot_be_written(tmp_path):
    """The engine's own."""
    with pytest.raises(PreflightError, match="cannot write to"):
        Token.written([str(tmp_path / "none")])


def test_a_sample_has_the_ends(tmp_path):
    """Of many sources some are looked at, the first and the last among them."""
    paths = []
    for number in range(100):
        path = tmp_path / f"{number:03}.tif"
        path.touch()
        paths.append(str(path))
    found = [path for path, _, _ in sample([*paths, str(tmp_path / "none")])]
    assert found[0] == paths[0]
    assert len(found) <= view_proof.SAMPLE
    assert sample(paths)[-1][0] == paths[-1]
