"""What the package declares is what it imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Modules of distributions that are named otherwise.
MODULES = {"pyyaml": "yaml"}
OWN = "geobatch_tui"


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    lines = (*project["dependencies"], *extras)
    names = (re.match(r"[\w-]+", line)[0].lower() for line in lines)
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def imported() -> set[str]:
    """Top-level modules that the package imports, at any place, or by name."""
    modules = set()
    for path in (ROOT / OWN).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import():
                    modules |= {alias.name for alias in node.names}
                case ast.ImportFrom(module=str(module)):
                    modules.add(module)
                case ast.Call(
                    func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]
                ):
                    modules.add(name)
    return {module.partition(".")[0] for module in modules}


def test_each_import_is_declared_and_each_dependency_imported():
    """A library of a library may go with its next release; one that nobody imports only costs."""
    foreign = imported() - sys.stdlib_module_names - {OWN}
    assert foreign == declared()
