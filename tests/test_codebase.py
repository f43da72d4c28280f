"""Rules that the code keeps: which way imports point, what library code never does, what is exported."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cnnviz"
CSRC = ROOT / "csrc"
MODULES = sorted(PACKAGE.rglob("*.py"))
C_FILES = sorted(CSRC.rglob("*.[ch]"))
TEXTS = {".py", ".pyi", ".c", ".h", ".md", ".toml", ".in", ".ipynb", ".txt", ".json", ""}

LONGEST_FILE = 500

# Imported inside the function that needs them, so that `import cnnviz` stays cheap.
LAZY = {"matplotlib", "scipy", "onnx", "PIL", "pooch", "tqdm", "torch", "keras", "onnxscript"}

# Modules of cnnviz that the module on the left must not reach for; a folder stands for all of it.
FORBIDDEN = {
    "errors": {"*"},
    "graph": {"_core", "onnx_reader", "rewrite", "lower", "model", "methods", "plot", "cli"},
    "onnx_reader": {"_core", "rewrite", "lower", "model", "methods", "plot", "cli"},
    "rewrite": {"_core", "onnx_reader", "lower", "model", "methods", "plot", "cli"},
    "lower": {"onnx_reader", "model", "objectives", "methods", "plot", "cli"},
    "preprocessing": {"_core", "model", "methods", "plot", "cli"},
    "objectives": {"_core", "lower", "methods", "plot", "cli"},
    "optimize": {"_core", "lower", "methods", "plot", "cli"},
    "model": {"methods", "optimize", "results", "plot", "cli"},
    "methods": {"_core", "lower", "onnx_reader", "plot", "cli"},
    "plot": {"_core", "lower", "onnx_reader", "graph", "model", "methods", "optimize", "cli"},
    "results": {"_core", "lower", "model", "methods", "cli"},
}

LAYERS = {"runtime": 0, "kernels": 1, "plan": 2, "python": 3}

# stdout, stderr and the process belong to the caller.
FORBIDDEN_CALLS = {"print", "exit", "quit", "sys.exit", "os._exit", "os.abort"}
FORBIDDEN_CALLS_C = re.compile(
    r"\b(assert|printf|fprintf|puts|perror|exit|_exit|abort|malloc|calloc|realloc)\s*\("
)
ALLOCATOR = CSRC / "runtime" / "alloc.c"

# Programs, as opposed to library code: they talk to a terminal.
PROGRAMS = {"cli.py", "__main__.py", "train.py"}

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|home|work|Users|mnt)/\w")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_package_is_where_it_is_looked_for() -> None:
    assert MODULES
    assert C_FILES


def imports(tree: ast.AST, inside_functions: bool) -> Iterator[Tuple[str, int]]:
    """Full names of what a module imports, and their lines; `if TYPE_CHECKING` blocks do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(node, inside_functions)


def part_of_package(name: str) -> str:
    """cnnviz.methods.saliency -> methods."""
    return name.split(".")[1] if name.startswith("cnnviz.") else ""


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_import_arrows_point_down(path: Path) -> None:
    owner = path.relative_to(PACKAGE).parts[0]
    owner = owner[:-3] if owner.endswith(".py") else owner
    forbidden = FORBIDDEN.get(owner, set())
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A result may draw itself when asked to: that import stands in the function.
    reached = {part_of_package(name) for name, _ in imports(tree, inside_functions=owner != "results")} - {""}
    wrong = reached if "*" in forbidden else reached & forbidden
    assert not wrong, f"{relative(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [(name.partition(".")[0], line) for name, line in imports(tree, inside_functions=False)]
    assert not [(name, line) for name, line in names if name in LAZY]


def test_the_core_comes_from_the_module_that_lets_it_choose() -> None:
    """Whoever imports cnnviz._core by itself may compute before a BLAS is chosen."""
    wrong = []
    for path in MODULES:
        names = [
            name for name, _ in imports(ast.parse(path.read_text(encoding="utf-8")), inside_functions=True)
        ]
        if "cnnviz._core" in names and path != PACKAGE / "_config.py":
            wrong.append(relative(path))
    assert not wrong


def test_modules_do_not_import_each_other_in_circles() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).replace(".__init__", ""): path
        for path in MODULES
    }
    arrows: Dict[str, Set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        arrows[name] = {target for target, _ in imports(tree, inside_functions=False) if target in names}
        arrows[name] -= {name, "cnnviz"}  # what a submodule takes from the package is its version
    done: List[str] = []
    while len(done) < len(names):
        ready = [name for name in names if name not in done and arrows[name] <= set(done)]
        assert ready, f"a circle among {sorted(set(names) - set(done))}"
        done.extend(ready)


def dotted(node: ast.AST) -> str:
    """sys.exit for the attribute, print for the name, nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


@pytest.mark.parametrize("path", [p for p in MODULES if p.name not in PROGRAMS], ids=relative)
def test_library_code_does_not_assert_print_or_exit(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assert):
            wrong.append(f"{relative(path)}:{node.lineno}: assert")
        elif isinstance(node, ast.Call) and dotted(node.func) in FORBIDDEN_CALLS:
            wrong.append(f"{relative(path)}:{node.lineno}: {dotted(node.func)}")
    assert not wrong


def without_comments(source: str) -> str:
    """C code with comments and string contents blanked, line by line."""
    blank = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', re.DOTALL)
    return blank.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_c_code_does_not_print_exit_or_bypass_the_allocator(path: Path) -> None:
    if path == ALLOCATOR:
        return
    lines = without_comments(path.read_text(encoding="utf-8")).splitlines()
    assert not [f"{number}: {line}" for number, line in enumerate(lines, 1) if FORBIDDEN_CALLS_C.search(line)]


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_c_includes_point_down(path: Path) -> None:
    """python -> plan -> kernels -> runtime; cnnviz.h is the plan's face, and only python/ sees Python.h."""
    folder = path.relative_to(CSRC).parts[0]
    layer = LAYERS.get(folder, LAYERS["plan"])
    for target in re.findall(r'^#include [<"]([^>"]+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE):
        if target == "cnnviz.h":
            assert layer >= LAYERS["plan"], f"{relative(path)} includes {target}"
        elif target == "Python.h" or target.startswith("numpy/"):
            assert folder == "python", f"{relative(path)} includes {target}"
        elif target.split("/")[0] in LAYERS:
            assert LAYERS[target.split("/")[0]] <= layer, f"{relative(path)} includes {target}"


@pytest.mark.parametrize("path", [*MODULES, *C_FILES], ids=relative)
def test_files_are_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def tracked_texts() -> List[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.suffix in TEXTS and path.is_file()]


def test_no_file_mentions_a_path_of_somebodys_machine() -> None:
    texts = tracked_texts()
    if not texts:
        pytest.skip("not a git checkout")
    found = [(relative(path), MACHINE_PATH.search(path.read_text(encoding="utf-8"))) for path in texts]
    assert not [(name, match.group()) for name, match in found if match]


def core_path() -> Path:
    from cnnviz import _core

    return Path(_core.__file__)


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm")
def test_only_the_init_function_is_exported() -> None:
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", str(core_path())], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    exported = {line.split()[-1] for line in listed.splitlines()} - {"_init", "_fini"}
    if any(name.startswith(("__gcov", "__asan", "__ubsan", "__tsan")) for name in exported):
        pytest.skip("an instrumented build")
    assert exported == {"PyInit__core"}


def parameters(function: ast.FunctionDef) -> List[str]:
    arguments = function.args
    return [
        a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs] if a.arg != "self"
    ]


def stub_signatures() -> Iterator[Tuple[str, List[str]]]:
    """Dotted name and parameters of everything public in _core.pyi."""
    tree = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, parameters(node)
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", parameters(member)


def test_stub_and_module_agree() -> None:
    from cnnviz import _core

    stub = dict(stub_signatures())
    classes = {name.split(".")[0] for name in stub if "." in name}
    public = {name for name in vars(_core) if not name.startswith("_")}
    for owner in classes:
        members = vars(getattr(_core, owner))
        public |= {f"{owner}.{name}" for name in members if not name.startswith("_")}
    assert public - classes == set(stub)


def test_stub_parameters_are_the_module_s() -> None:
    from cnnviz import _core

    wrong = []
    for name, expected in stub_signatures():
        target = _core
        for part in name.split("."):
            target = getattr(target, part)
        try:
            signature = inspect.signature(target)
        except (TypeError, ValueError):
            continue  # a property, or a C function that states none
        actual = [parameter for parameter in signature.parameters if parameter != "self"]
        if actual != expected:
            wrong.append((name, actual, expected))
    assert not wrong
