"""What ``geobatch doctor`` says of the user's own files for the console."""

from __future__ import annotations

from geobatch_tui.cli.commands.doctor import cluster, console, machine
from geobatch_tui.cli.display.findings import BAD, OK, WARN
from geobatch_tui.errors import ClusterError
from geobatch_tui.execution.native import code_cache
from geobatch_tui.orchestration.cluster import joining


def test_keys_and_themes_that_are_right(tmp_path, monkeypatch):
    """Without files, and with good ones, there is nothing to mend."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert {finding.verdict for finding in console()} == {OK}
    home = tmp_path / "geobatch"
    (home / "themes").mkdir(parents=True)
    (home / "keys.toml").write_text('[keys]\nfreeze = "f9"\n')
    (home / "themes" / "mine.toml").write_text('[colors]\nprimary = "#102030"\n')
    found = list(console())
    assert {finding.verdict for finding in found} == {OK}
    assert "no conflicts; 1 key of" in found[0].text
    assert "mine" in found[1].text


def test_conflicts_and_bad_themes_are_told(tmp_path, monkeypatch):
    """Each with its file or its key, as a warning: runs do not depend on them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    home = tmp_path / "geobatch"
    (home / "themes").mkdir(parents=True)
    (home / "keys.toml").write_text('[keys]\nfreeze = "P"\nnosuch = "x"\n')
    (home / "themes" / "mine.toml").write_text("[colors]\n")
    said = {finding.text for finding in console() if finding.verdict == WARN}
    assert any("the key P means freeze and job.pause" in text for text in said)
    assert any("there is no key nosuch" in text for text in said)
    assert any("mine.toml colors.primary is missing" in text for text in said)


def test_where_machine_code_is_kept(tmp_path, monkeypatch):
    """Or why nowhere: each worker then compiles for seconds."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(code_cache, "cache_directory", code_cache.cache_directory.__wrapped__)
    (found,) = (each for each in machine(tmp_path) if each.topic == "machine code")
    assert found.verdict == OK
    assert str(tmp_path) in found.text
    tmp_path.chmod(0o777)
    (found,) = (each for each in machine(tmp_path) if each.topic == "machine code")
    assert found.verdict == WARN
    assert "others can write" in found.text


def test_nodes_of_a_cluster(monkeypatch):
    """Each that may work with its room, each that may not with the reason; no TLS is a warning."""

    async def survey(place):
        assert place.cluster == "tcp://far:8786"
        nodes = [{"node": "a1 (tcp://a1:1)", "workers": 4, "memory_bytes": 2**33}]
        refused = [{"node": "b2 (tcp://b2:1)", "why": "it has no geobatch_tui"}]
        return {"address": place.cluster, "nodes": nodes, "refused": refused}

    monkeypatch.setattr(joining, "survey", survey)
    found = [(finding.verdict, finding.text) for finding in cluster("tcp://far:8786")]
    assert [verdict for verdict, _ in found] == [WARN, OK, BAD]
    assert "has no TLS" in found[0][1]
    assert found[1][1] == "a1 (tcp://a1:1): room for 4 workers, 8.0 GiB"
    assert found[2][1] == "b2 (tcp://b2:1): it has no geobatch_tui"


def test_a_cluster_that_cannot_be_asked(monkeypatch):
    """An address that is none, and a scheduler that is away."""

    async def survey(_):
        raise ClusterError("the scheduler at tcp://far:1 does not answer")

    monkeypatch.setattr(joining, "survey", survey)
    for address in ("far", "tcp://far:1"):
        (found,) = cluster(address)
        assert found.verdict == BAD
        assert "far" in found.text
