"""Builds the C core without Python and runs the C tests; each tests/c/test_*.c is one program.

python tests/c/run.py                               # plain
python tests/c/run.py --sanitize address,undefined
python tests/c/run.py --sanitize thread --cc clang test_threads
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List, Optional, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"

sys.path.insert(0, str(ROOT))
import setup  # noqa: E402  (it lists the source files and the instruction set of each)

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
FLAGS = ["-std=c11", "-g", "-pthread", "-ffp-contract=off", "-DCNV_FAULT_INJECTION"]
SANITIZED = ["-O1", "-DCNV_SANITIZED", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
# The references that tests compare with are not under test, and take most of the time under a sanitizer.
HELPER_FLAGS = ["-O2", "-fno-sanitize=all"]
# A file that this CPU cannot run is compiled all the same, but not sanitized, which would take minutes.
UNRUN_FLAGS = ["-fno-sanitize=all"]
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


def runs_here(source: Path) -> bool:
    """Whether this CPU has the instructions that a file is compiled for; True if the system does not say."""
    try:
        known = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return True
    return all(flag[len("-m") :] in known for flag in setup.own_flags(source.name))


def core_sources() -> List[Path]:
    """Return the C files of the core: everything but the Python binding."""
    return [ROOT / path for path in setup.sources() if Path(path).parent.name != "python"]


def helper_sources() -> List[Path]:
    """Return the C files that the tests share."""
    return sorted(path for path in HERE.glob("*.c") if not path.stem.startswith("test_"))


class Builder:
    """Compiles into one folder with one compiler and one set of flags."""

    def __init__(self, folder: Path, compiler: str, sanitize: Optional[str]) -> None:
        self.folder = folder
        self.compiler = shlex.split(compiler)
        self.flags = [*FLAGS, *(SANITIZED + ["-fsanitize=" + sanitize] if sanitize else ["-O2"])]

    def compile(self, source: Path) -> str:
        """Compile one file and return its object."""
        target = self.folder / ("_".join(source.relative_to(ROOT).with_suffix("").parts) + ".o")
        own = HELPER_FLAGS if source in helper_sources() else setup.own_flags(source.name)
        if not runs_here(source):
            own = [*own, *UNRUN_FLAGS]
        include = [f"-I{CSRC}", f"-I{HERE}"]
        self.call([*WARNINGS, *own, *include, "-c", str(source), "-o", str(target)])
        return str(target)

    def link(self, objects: Sequence[str], name: str) -> Path:
        """Link one program."""
        program = self.folder / name
        self.call([*objects, "-o", str(program), "-lm", "-ldl"])
        return program

    def call(self, arguments: Sequence[str]) -> None:
        """Run the compiler, which prints its errors."""
        subprocess.run([*self.compiler, *self.flags, *arguments], check=True)


def build(
    folder: Path, tests: Sequence[Path], compiler: str, sanitize: Optional[str], jobs: int
) -> List[Path]:
    """Return one program per test."""
    builder = Builder(folder, compiler, sanitize)
    with ThreadPoolExecutor(jobs) as pool:
        shared = list(pool.map(builder.compile, [*core_sources(), *helper_sources()]))
        own = list(pool.map(builder.compile, tests))
        return list(pool.map(lambda pair: builder.link([*shared, pair[0]], pair[1].stem), zip(own, tests)))


def run(program: Path, timeout: float) -> bool:
    """Run one program and report it in one line."""
    environment = {**SANITIZER_OPTIONS, **os.environ}
    try:
        finished = subprocess.run(
            [str(program)], env=environment, timeout=timeout, stdout=subprocess.PIPE, text=True
        )
    except subprocess.TimeoutExpired:
        print(f"FAILED {program.name}: still running after {timeout:.0f} s")
        return False
    verdict = "passed" if finished.returncode == 0 else f"FAILED (exit status {finished.returncode})"
    print(f"{verdict} {program.name}: {finished.stdout.strip()}")
    return finished.returncode == 0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Build and run; the exit status is 0 when every program passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="tests to run, such as test_plan; all by default")
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--sanitize", help="sanitizers, as after -fsanitize=")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one program")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)

    tests = [
        path for path in sorted(HERE.glob("test_*.c")) if not options.names or path.stem in options.names
    ]
    if not tests or set(options.names) - {path.stem for path in tests}:
        parser.error(
            "no such test; there are " + ", ".join(path.stem for path in sorted(HERE.glob("test_*.c")))
        )
    with tempfile.TemporaryDirectory() as folder:
        programs = build(Path(folder), tests, options.cc, options.sanitize, options.jobs)
        with ThreadPoolExecutor(options.jobs) as pool:
            passed = list(pool.map(lambda program: run(program, options.timeout), programs))
    print(f"{sum(passed)} C tests passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
