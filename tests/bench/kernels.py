"""GF/s of each fast kernel on one thread beside the FMA peak; builds tests/bench/kernels.c and runs it.

python tests/bench/kernels.py
python tests/bench/kernels.py --cc clang --tier avx2
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, Optional, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

sys.path.insert(0, str(ROOT))
import setup  # noqa: E402  (it has the flags that the package is built with)


def sources() -> List[Path]:
    """Return the core without its Python binding, and the benchmark."""
    core = [ROOT / path for path in setup.sources() if Path(path).parent.name != "python"]
    return [*core, *sorted(HERE.glob("*.c"))]


def build(folder: Path, compiler: str) -> Path:
    """Compile everything as the package is compiled, and return the program."""
    objects = []
    for source in sources():
        objects.append(str(folder / ("_".join(source.relative_to(ROOT).with_suffix("").parts) + ".o")))
        flags = [*setup.FLAGS, *setup.own_flags(source.name), f"-I{ROOT / 'csrc'}", f"-I{HERE}"]
        subprocess.run([*shlex.split(compiler), *flags, "-c", str(source), "-o", objects[-1]], check=True)
    program = folder / "kernels"
    subprocess.run(
        [*shlex.split(compiler), *objects, "-pthread", "-lm", "-ldl", "-o", str(program)], check=True
    )
    return program


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Build, run, and pass the exit status on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--tier", default="avx512", choices=("avx2", "avx512"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder), options.cc)
        return subprocess.run([str(program), options.tier], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
