"""The tree: which folder may import or include which, and that no file is left out of the rules."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator, List, Mapping, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cnnviz"
CSRC = ROOT / "csrc"

# The folders and modules of cnnviz from the top floor down. A file imports from lower floors and from its own
# folder, never from its own floor's other folders. "cnnviz" is the package's __init__.py.
FLOORS: List[Set[str]] = [
    {"__main__"},
    {"cli"},
    {"demo"},
    {"cnnviz"},
    {"testing"},
    {"evaluation"},
    {"bundled", "replaying"},
    {"attribution", "synthesis"},
    {"results"},
    {"loading", "optimize", "plot"},
    {"model"},
    {"objectives"},
    {"lowering", "pictures", "reader"},
    {"_config", "graph"},
    {"_core", "_version", "checks", "errors", "fork_lock", "one_line"},
]
MOST_FILES_AT_THE_TOP = 12

# The same for C, where folders of one floor may include each other. cnnviz.h declares what the plan offers:
# plan/ implements it, python/ uses it.
C_FLOORS: List[Set[str]] = [
    {"python"},
    {"plan", "plan/ops", "plan/fast", "plan/prepare"},
    {"cnnviz.h"},
    {"kernels/x86"},
    {"kernels/fast", "kernels/pictures", "kernels/portable"},
    {"kernels"},
    {"runtime"},
]

# Imported inside the function that needs them, so that `import cnnviz` stays cheap.
LAZY = {
    "matplotlib",
    "scipy",
    "onnx",
    "PIL",
    "pooch",
    "tqdm",
    "torch",
    "keras",
    "onnxscript",
    "tensorflow",
    "tf2onnx",
}


def module_name(path: Path) -> str:
    """cnnviz/plot/maps.py -> cnnviz.plot.maps, cnnviz/plot/__init__.py -> cnnviz.plot."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).replace(".__init__", "")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
C_FILES = {str(path.relative_to(CSRC)): path for path in sorted(CSRC.rglob("*.[ch]"))}


def depth(floors: List[Set[str]], room: str) -> int:
    """The floor of a folder, counted from the top."""
    found = [i for i, floor in enumerate(floors) if room in floor]
    assert len(found) == 1, f"{room} stands in {len(found)} floors of the rules, not in one"
    return found[0]


def room(module: str) -> str:
    """cnnviz.plot.maps -> plot, cnnviz.cli -> cli, cnnviz -> cnnviz."""
    return module.split(".")[1] if "." in module else module


def imported(tree: ast.AST, package: str, inside_functions: bool = True) -> Iterator[Tuple[str, int]]:
    """The names that a module imports, dotted, with their lines; of `from a import b`, a and a.b."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                source = ".".join([package, *([source] if source else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (inner if inner in MODULES or inner == "cnnviz._core" else source), node.lineno
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not inside_functions:
            continue
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imported(node, package, inside_functions)


def arrows(module: str) -> Set[str]:
    """The modules of cnnviz that a module names: at its head, in functions, for types, or in a string."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = {name for name, _ in imported(tree, package)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    found |= {text for text in texts if text in MODULES and text != "cnnviz"}  # the latter is a mere name
    return {name for name in found if name in MODULES or name == "cnnviz._core"} - {module}


def test_the_package_is_where_it_is_looked_for() -> None:
    assert MODULES
    assert C_FILES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own = depth(FLOORS, room(module))
    wrong = [
        name for name in arrows(module) if room(name) != room(module) and depth(FLOORS, room(name)) <= own
    ]
    assert not wrong, f"{module} imports {sorted(wrong)}"


def circle(graph: Mapping[str, Set[str]]) -> List[str]:
    """What is left of a graph when all that points at nothing, again and again, is taken away."""
    left = dict(graph)
    while True:
        ends = [name for name, targets in left.items() if not targets & set(left)]
        if not ends:
            return sorted(left)
        for name in ends:
            del left[name]


def test_modules_do_not_import_each_other_in_circles() -> None:
    assert not circle({module: arrows(module) for module in MODULES})


def test_every_rule_has_a_folder() -> None:
    there = {room(module) for module in MODULES} | {"_core"}
    assert set.union(*FLOORS) == there
    assert set.union(*C_FLOORS) == {c_room(name) for name in C_FILES}


def test_the_top_folder_is_small() -> None:
    files = [path.name for path in PACKAGE.iterdir() if path.is_file() and path.suffix != ".so"]
    assert len(files) <= MOST_FILES_AT_THE_TOP, sorted(files)


def test_tests_lie_in_the_folders_of_what_they_test() -> None:
    folders = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()} - {"__pycache__"}
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"bench", "c", "core", "fuzz"} == packages


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_they_are_used(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = [
        (name.partition(".")[0], line) for name, line in imported(tree, "cnnviz", inside_functions=False)
    ]
    assert not [(name, line) for name, line in names if name in LAZY]


def test_the_core_comes_from_the_module_that_lets_it_choose() -> None:
    """A module that imported cnnviz._core by itself could compute before a BLAS is chosen."""
    assert [module for module in MODULES if "cnnviz._core" in arrows(module)] == ["cnnviz._config"]


def c_room(name: str) -> str:
    """kernels/fast/tile.h -> kernels/fast, cnnviz.h -> cnnviz.h."""
    return name.rpartition("/")[0] or name


def includes(name: str) -> List[str]:
    """The files of csrc that a C file includes, and the headers of Python and NumPy."""
    text = C_FILES[name].read_text(encoding="utf-8")
    return re.findall(r'^#include [<"]([^>"]+)[>"]', text, re.MULTILINE)


@pytest.mark.parametrize("name", C_FILES)
def test_includes_point_down(name: str) -> None:
    own = depth(C_FLOORS, c_room(name))
    inner = [target for target in includes(name) if target in C_FILES]
    wrong = [target for target in inner if depth(C_FLOORS, c_room(target)) < own]
    siblings = [
        target
        for target in inner
        if depth(C_FLOORS, c_room(target)) == own
        and c_room(target).split("/")[0] != c_room(name).split("/")[0]
    ]
    assert not wrong + siblings, f"{name} includes {wrong + siblings}"


@pytest.mark.parametrize("name", [name for name in C_FILES if not name.startswith("python/")])
def test_only_the_binding_sees_python(name: str) -> None:
    assert not [target for target in includes(name) if target == "Python.h" or target.startswith("numpy/")]
