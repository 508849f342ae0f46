"""What ``geobatch doctor`` says of the user's own files for the console."""

from __future__ import annotations

from geobatch_tui.cli.commands.doctor import OK, WARN, console, machine
from geobatch_tui.execution.native import code_cache


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
