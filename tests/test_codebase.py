"""Rules that the code keeps: lengths, what library code never does, what is exported."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cnnviz"
CSRC = ROOT / "csrc"
MODULES = sorted(PACKAGE.rglob("*.py"))
C_FILES = sorted(CSRC.rglob("*.[ch]"))
TEXTS = {".py", ".pyi", ".c", ".h", ".md", ".toml", ".in", ".ipynb", ".txt", ".json", ""}

# Lines; the docstring of a function does not count.
LONGEST_FILE, LONGEST_FUNCTION = 400, 60

# stdout, stderr and the process belong to the caller.
FORBIDDEN_CALLS = {"print", "exit", "quit", "sys.exit", "os._exit", "os.abort"}
FORBIDDEN_CALLS_C = re.compile(
    r"\b(assert|printf|fprintf|puts|perror|exit|_exit|abort|malloc|calloc|realloc)\s*\("
)
ALLOCATOR = CSRC / "runtime" / "alloc.c"

# Programs, as opposed to library code: they talk to a terminal.
PROGRAMS = {PACKAGE / "cli" / "parser.py", PACKAGE / "__main__.py", PACKAGE / "bundled" / "train.py"}

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|home|work|Users|mnt)/\w")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(node: ast.AST) -> str:
    """sys.exit for the attribute, print for the name, nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


@pytest.mark.parametrize("path", [p for p in MODULES if p not in PROGRAMS], ids=relative)
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


@pytest.mark.parametrize("path", [*MODULES, *C_FILES], ids=relative)
def test_files_are_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def function_lengths(path: Path) -> Iterator[Tuple[str, int]]:
    """Names of functions, or the C lines before their bodies, with their lengths in lines."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        for match in re.finditer(r"^([^\n]*)\n\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            yield match.group(1), match.group(2).count("\n") + 2
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = len(ast.get_source_segment(text, node, padded=True).splitlines())  # type: ignore[union-attr]
            docstring = ast.get_docstring(node, clean=False)
            yield node.name, lines - (0 if docstring is None else docstring.count("\n") + 1)


@pytest.mark.parametrize("path", [*MODULES, *C_FILES], ids=relative)
def test_functions_are_short_enough_to_read(path: Path) -> None:
    assert not [(name, lines) for name, lines in function_lengths(path) if lines > LONGEST_FUNCTION]


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
