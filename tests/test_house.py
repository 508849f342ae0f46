"""The house: how large rooms and modules are, what they are called, and that no imports go round."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

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


def _imported(path: Path) -> set[str]:
    """Modules of ours that a module imports as it is loaded, or for its types."""
    found = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("geobatch_tui"):
            module = (node.module or "").removeprefix("geobatch_tui").strip(".").replace(".", "/")
            for alias in node.names:
                inner = f"{module}/{alias.name}".strip("/")
                found.add(inner if (ROOT / f"{inner}.py").exists() else module)
        waiting += ast.iter_child_nodes(node)
    return found


def test_no_imports_go_round() -> None:
    """Not even those of types: who reads a module reads downwards from it."""
    imports = {_name(path): _imported(path) for path in MODULES}
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


def _names(path: Path) -> set[str]:
    """Names that a module defines or imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Name(name, ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.alias():
                found.add((node.asname or node.name).rpartition(".")[2])
    return found


def _places(path: Path, role: list[str], names: dict[Path, set[str]]) -> list[Path]:
    """Modules that a role in ``path`` may mean; takes what names them from ``role``."""
    if role[0] not in {"", "geobatch_tui"}:
        if len(role) == 1:
            return [path]
        return [each for each in names if each.stem == role[0] or role[0] in names[each]]
    room = ROOT if role.pop(0) else path.parent
    while role and (room / role[0]).is_dir():
        room /= role.pop(0)
    if role and (room / f"{role[0]}.py").exists():
        return [room / f"{role.pop(0)}.py"]
    return [room / "__init__.py"]


def test_docstrings_refer_to_what_is_there() -> None:
    """A role leads to a name of its own module, of a module that it names, or of a class."""
    names = {path: _names(path) for path in ROOT.rglob("*.py")}
    lost = []
    for path in names:
        text = path.read_text(encoding="utf-8")
        for role in re.findall(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`", text):
            rest = role.split(".")
            places = _places(path, rest, names)
            if not any(set(rest[-1:]) <= names[place] for place in places):
                lost.append(f"{_name(path)}: {role}")
    assert lost == []
