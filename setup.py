"""Compiles csrc/ into cnnviz._core and puts a private OpenBLAS beside it.

Switches, all from the environment:

- ``CNNVIZ_DEBUG=1``: no optimization, debug information.
- ``CNNVIZ_SANITIZE=address,undefined`` (or ``thread``): that sanitizer.
- ``CNNVIZ_COVERAGE=1``: gcov counters.
- ``CNNVIZ_FAULTS=1``: tests can make the n-th allocation fail.
- ``CNNVIZ_WERROR=1``: warnings are errors.
- ``CNNVIZ_BUNDLE_OPENBLAS=0``: no bundled OpenBLAS; the system's, or the built-in GEMM, serves at run time.
"""

from __future__ import annotations

import os
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CSRC = Path("csrc")

FLAGS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"]

# Results must not depend on where a compiler fuses multiply-adds; kernels that use one say so. The others
# drop errno and floating-point traps, which cnnviz does not use, and change no number.
FLAGS += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]

# The suffix of a file's name selects its instruction set; its functions run only on CPUs that have the set.
INSTRUCTION_SETS = {
    "_avx2": "-mavx2 -mfma -mf16c",
    "_avx512": "-mavx512f -mavx512vl -mavx512bw -mavx512dq -mavx2 -mfma -mf16c",
}


def switch(name: str, default: str = "") -> str:
    """Value of CNNVIZ_`name`, with 0 read as off."""
    value = os.environ.get("CNNVIZ_" + name, default)
    return "" if value == "0" else value


def chosen_flags() -> List[str]:
    """Compiler flags that every file gets."""
    flags = FLAGS + ["-g" if switch("DEBUG") or switch("SANITIZE") else "-g0"]
    if switch("DEBUG"):
        flags += ["-O0", "-UNDEBUG"]
    if switch("SANITIZE"):
        flags += ["-O1", "-fno-omit-frame-pointer", "-DCNV_SANITIZED", "-fsanitize=" + sanitizers()]
    if switch("COVERAGE"):
        flags += ["-O0", "--coverage"]
    if switch("WERROR"):
        flags += ["-Werror"]
    return flags


def sanitizers() -> str:
    """Names after -fsanitize=; CNNVIZ_SANITIZE=1 stands for the usual pair."""
    return {"1": "address,undefined"}.get(switch("SANITIZE"), switch("SANITIZE"))


def linker_flags() -> List[str]:
    """Flags of the link step."""
    flags = ["-pthread", "-lm"] + (["-ldl"] if platform.system() == "Linux" else [])
    if switch("SANITIZE"):
        flags += ["-fsanitize=" + sanitizers()]
    return flags + (["--coverage"] if switch("COVERAGE") else [])


def sources() -> List[str]:
    """Paths of all C files, without the kernels of other CPUs."""
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / CSRC).rglob("*.c"))
    if platform.machine().lower() in ("x86_64", "amd64"):
        return found
    return [path for path in found if Path(path).parent.name != "x86"]


class BuildCore(build_ext):
    """The build of the core: each source with its own flags, in parallel, and only changed ones."""

    def finalize_options(self) -> None:
        """Keep the objects of different switches apart."""
        super().finalize_options()
        on = [name for name in ("debug", "sanitize", "coverage", "faults") if switch(name.upper())]
        self.build_temp: str = "-".join([self.build_temp, *on])
        self.force = True  # always link: a switch may have changed since the module was built

    def run(self) -> None:
        """Build the module, then copy OpenBLAS beside it; a wheel's build leaves both in the checkout, too.

        Python prefers a package in the current folder to an installed one, so that after ``pip install .`` an
        ``import cnnviz`` inside the checkout finds the sources, which need their module.
        """
        super().run()
        package = Path("cnnviz" if self.inplace else Path(self.build_lib, "cnnviz"))
        lay_openblas(package / "_blas")
        if not self.inplace and self.distribution.get_command_obj("bdist_wheel", create=False):
            for extension in self.extensions:
                built = Path(self.get_ext_fullpath(extension.name))
                replace_file(built, ROOT / "cnnviz" / built.name)
            lay_openblas(ROOT / "cnnviz" / "_blas")

    def build_extension(self, ext: Extension) -> None:
        """Compile the files in parallel and hand the objects to the linker."""
        newest_header = max(path.stat().st_mtime for path in [*CSRC.rglob("*.h"), Path(__file__)])

        def compile_one(source: str) -> str:
            target = Path(self.compiler.object_filenames([source], output_dir=self.build_temp)[0])
            inputs = max(newest_header, Path(source).stat().st_mtime)
            if not target.exists() or target.stat().st_mtime <= inputs:
                flags = [*ext.extra_compile_args, *own_flags(source)]
                self.compiler.compile(
                    [source],
                    output_dir=self.build_temp,
                    macros=ext.define_macros,
                    include_dirs=ext.include_dirs,
                    extra_postargs=flags,
                )
            return str(target)

        with ThreadPoolExecutor(self.parallel or os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(compile_one, ext.sources))
        ext.sources = []
        super().build_extension(ext)


def own_flags(source: str) -> List[str]:
    """Flags of one file: its instruction set."""
    for suffix, flags in INSTRUCTION_SETS.items():
        if Path(source).stem.endswith(suffix):
            return flags.split()
    return []


def lay_openblas(folder: Path) -> None:
    """Bundle OpenBLAS there, or take away what an earlier build has bundled."""
    if switch("BUNDLE_OPENBLAS", "1"):
        bundle_openblas(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def bundle_openblas(folder: Path) -> None:
    """Copy the shared objects and licences of the scipy-openblas32 wheel, if it is installed."""
    try:
        import scipy_openblas32
    except ImportError:
        return
    installed = Path(scipy_openblas32.__file__).parent
    lib = Path(scipy_openblas32.get_lib_dir())
    libraries = [path for path in lib.iterdir() if ".so" in path.name or ".dylib" in path.name]
    licences = installed.parent.glob("scipy_openblas32-*.dist-info/licenses/*")
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*libraries, *licences]:
        target = folder / path.name
        if not target.exists() or target.stat().st_size != path.stat().st_size:
            replace_file(path, target)


def replace_file(source: Path, target: Path) -> None:
    """Copy a file over another, which a running process may have mapped."""
    target.unlink(missing_ok=True)
    shutil.copy2(source, target)


def core_module() -> Extension:
    """Describe the one extension module."""
    macros = [
        ("NPY_TARGET_VERSION", "NPY_1_22_API_VERSION"),
        ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
    ]
    if switch("FAULTS"):
        macros.append(("CNV_FAULT_INJECTION", "1"))
    return Extension(
        "cnnviz._core",
        sources=sources(),
        include_dirs=[str(CSRC), numpy.get_include()],
        define_macros=macros,
        extra_compile_args=chosen_flags(),
        extra_link_args=linker_flags(),
    )


if __name__ == "__main__":
    setup(license="MIT", ext_modules=[core_module()], cmdclass={"build_ext": BuildCore})
