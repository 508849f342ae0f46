"""The house: how large rooms and modules are, what they are called, and what they import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1] / "geobatch_tui"
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py")
ROOMS = sorted({path.parent for path in MODULES})
MOST_MODULES, MOST_LINES = 16, 2400
SHORTEST, LONGEST = 50, 400
#: Modules beyond these limits, to be joined with a neighbour or cut in two. The list only shrinks.
ODD_SIZES: frozenset[str] = frozenset()
#: Names that rooms share, as they mean the same in each.
SHARED = {
    "chunk": "one chunk of an item, of pixels or of features",
    "errors": "our error tree, and OGR's errors as members of it",
    "gdal_commands": "the commands of GDAL that come nearest to an item",
    "ops": "operations: the command that lists them, and those for tests",
    "plan": "what decides an item's bytes; and the command that shows plans",
    "probe": "opens a source and plans its item",
}
#: Pages that say where things are.
PAGES = (
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    *sorted(f"docs/{page.name}" for page in (ROOT.parent / "docs").glob("*.md")),
)
#: Tests that no single room holds: of the whole under attack, and of the house.
ABOVE_ROOMS = {"chaos", "cluster", ""}
#: Modules of distributions that are named otherwise.
OTHERWISE_NAMED = {"pyyaml": "yaml"}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _name(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT).as_posix())
def test_a_room_has_a_face_and_an_end(room: Path) -> None:
    """So many modules as can be told apart at a look, and a sentence that says what they do."""
    modules = [path for path in MODULES if path.parent == room]
    assert len(modules) <= MOST_MODULES
    assert sum(map(_lines, modules)) <= MOST_LINES
    face = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert face
    assert len(face) > 20


def test_tests_have_names_of_their_own() -> None:
    """Python takes two modules of one name for the same, and pytest then collects neither."""
    named = defaultdict(list)
    for path in Path(__file__).parent.rglob("test_*.py"):
        named[path.name].append(path)
    assert not [paths for paths in named.values() if len(paths) > 1]


def test_a_module_is_neither_a_scrap_nor_a_book() -> None:
    """Exceptions are named; who joins or cuts one takes it off the list."""
    odd = {_name(path) for path in MODULES if not SHORTEST <= _lines(path) <= LONGEST}
    assert odd == ODD_SIZES


def test_tests_lie_where_their_rooms_lie() -> None:
    """Who knows a module's room knows where its tests are."""
    tests = Path(__file__).parent
    found = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    rooms = {path.relative_to(ROOT) for path in ROOT.rglob("*") if (path / "__init__.py").exists()}
    assert found - rooms == {Path(name) for name in ABOVE_ROOMS}


def test_a_name_is_used_once() -> None:
    """A module's name says what it is without its room, but for a few that are one idea in two."""
    rooms = defaultdict(list)
    for path in MODULES:
        rooms[path.stem].append(_name(path))
    twice = {name for name, found in rooms.items() if len(found) > 1}
    assert twice == set(SHARED)
    assert len(SHARED) <= 8


def test_the_engine_loads_no_library_of_workers() -> None:
    """All that an engine imports: none of it brings pixels, features or a compiler."""
    code = (
        "import sys, geobatch_tui.orchestration.run.runner, geobatch_tui.cli.commands.run\n"
        "found = {'numpy', 'rasterio', 'pyogrio', 'pyproj', 'pyarrow', 'imagecodecs', 'numba'}\n"
        "print(sorted(found & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


class Facts(NamedTuple):
    """What tests ask of a module: names that it defines or imports, at any depth; modules of ours
    that it imports as it is loaded, or for its types; all modules that it imports, at any place, or
    by name."""

    names: set[str]
    ours: set[str]
    modules: set[str]


@cache
def _facts(path: Path) -> Facts:
    """Parse a module, once for all tests: to parse all of them takes two seconds."""
    text = path.read_text(encoding="utf-8")
    facts = Facts(set(), set(), set(re.findall(r"\bimport_module\(\s*\"([\w.]+)\"", text)))
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(text), False)]
    while waiting:
        node, later = waiting.pop()
        match node:
            case ast.Import():
                facts.modules.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                facts.modules.add(module)
                if not later and module.startswith("geobatch_tui"):
                    facts.ours.update(_named_by(module, node.names))
        facts.names.update(_defined_by(node))
        later = later or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += [(each, later) for each in getattr(node, part, ())]
    return facts


def _named_by(module: str, names: list[ast.alias]) -> set[str]:
    """Modules of ours that an import from ``module`` names."""
    place = module.removeprefix("geobatch_tui").strip(".").replace(".", "/")
    inner = {f"{place}/{alias.name}".strip("/") for alias in names}
    return {each if (ROOT / f"{each}.py").exists() else place for each in inner}


def _defined_by(node: ast.AST) -> set[str]:
    """Names that a statement itself defines or imports."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).rpartition(".")[2] for alias in node.names}
        case ast.Assign():
            targets = node.targets
        case ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.AsyncFor():
            targets = [node.target]
        case ast.With() | ast.AsyncWith():
            targets = [item.optional_vars for item in node.items if item.optional_vars]
        case ast.TypeAlias():
            targets = [node.name]
        case _:
            return set()
    parts = [part for target in targets for part in ast.walk(target)]
    return {part.id for part in parts if isinstance(part, ast.Name)} | {
        part.attr for part in parts if isinstance(part, ast.Attribute)
    }


def test_no_imports_go_round() -> None:
    """Not even those of types: who reads a module reads downwards from it."""
    imports = {_name(path): _facts(path).ours for path in MODULES}
    state: dict[str, int] = {}
    round_trips: list[str] = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        if state.get(name) == 1:
            round_trips.append(" > ".join((*way[way.index(name) :], name)))
        elif name in imports and name not in state:
            state[name] = 1
            for other in sorted(imports[name]):
                visit(other, (*way, name))
            state[name] = 2

    for name in imports:
        visit(name, ())
    assert round_trips == []


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_what_is_there(page: str) -> None:
    """Who follows a page finds the module, or the folder, that it names."""
    top = ROOT.parent
    paths = [*ROOT.rglob("*"), *(top / "benchmarks").iterdir()]
    known = ["/" + path.relative_to(top).as_posix() for path in paths]
    text = (top / page).read_text(encoding="utf-8")
    named = {(a or b).lstrip("/") for a, b in re.findall(r"([\w/]+\.py)\b|`([\w/]+)/`", text)}
    lost = [one for one in named if not any(place.endswith("/" + one) for place in known)]
    assert [one for one in lost if not (top / one).exists()] == []


def _places(path: Path, role: list[str]) -> list[Path]:
    """Modules that a role in ``path`` may mean; takes what names them from ``role``."""
    if role[0] not in {"", "geobatch_tui"}:
        if len(role) == 1:
            return [path]
        every = ROOT.rglob("*.py")
        return [each for each in every if role[0] in {each.stem, *_facts(each).names}]
    room = ROOT if role.pop(0) else path.parent
    while role and (room / role[0]).is_dir():
        room /= role.pop(0)
    if role and (room / f"{role[0]}.py").exists():
        return [room / f"{role.pop(0)}.py"]
    return [room / "__init__.py"]


def test_docstrings_refer_to_what_is_there() -> None:
    """A role leads to a name of its own module, of a module that it names, or of a class."""
    lost = []
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for role in re.findall(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`", text):
            rest = role.split(".")
            if not any(set(rest[-1:]) <= _facts(place).names for place in _places(path, rest)):
                lost.append(f"{_name(path)}: {role}")
    assert lost == []


def _declared() -> set[str]:
    """Modules of the distributions that the project asks for."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    found = (re.match(r"[\w-]+", line) for line in (*project["dependencies"], *extras))
    names = [match[0].lower() for match in found if match]
    return {OTHERWISE_NAMED.get(name, name.replace("-", "_")) for name in names}


def test_each_import_is_declared_and_each_dependency_imported() -> None:
    """A library of a library may go with its next release; one that nobody imports only costs."""
    modules = {name for path in ROOT.rglob("*.py") for name in _facts(path).modules}
    foreign = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert foreign - {"geobatch_tui"} == _declared()
