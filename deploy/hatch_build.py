"""Compiles the native kernel for this machine or any board, into the wheel or the working tree.

    python deploy/hatch_build.py                  # native/_kernel.abi3.so here, for this machine
    python deploy/hatch_build.py wheels FOLDER    # every wheel there is, of both distributions

As the build hook of hatchling it obeys the environment variable EDGE_LSTM_WHEEL:

    not set              for this machine, with $CC, ziglang or cc, whichever is there first.
                         If there is none of them, the pure wheel
    pure                 without a library: the runtime uses NumPy
    manylinux2014_...    a platform of PLATFORMS, by ziglang

An editable install compiles into the working tree.

For the desktop's distribution it says which version of the runtime that needs: its own.
Each wheel has a bill of materials (PEP 770).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.core import ProjectMetadata
from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.requirements import Requirement
from packaging.tags import platform_tags
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent
NATIVE = ROOT / "edge_lstm_runtime/native"
EXTENSION = ROOT / "extension"  # the kernel as a Python module, without Python.h
LIBRARY = NATIVE / "_kernel.abi3.so"
IN_WHEEL = f"edge_lstm_runtime/native/{LIBRARY.name}"
TAG = "cp310-abi3"  # any Python from 3.10 on. Those without a global lock have no abi3
RUNTIME = "edge-lstm-runtime"  # the distribution with the library
SUM = ".sha256"  # ends the name of the file with a library's checksum, which lies beside it
VARIABLE = "EDGE_LSTM_WHEEL"
ZIGLANG = "ziglang==0.17.1"  # the compiler decides the library's bytes

COMPILE = (
    "-std=c99 -O3 -ffp-contract=fast -fPIC -fvisibility=hidden "
    "-fno-unwind-tables -fno-asynchronous-unwind-tables"
)
# ziglang links all of its arithmetic, 200 kB on ARM, unless told to drop what is not called.
LINK = "-shared -s -Wl,--gc-sections"
AVX2 = "-mavx2 -mfma -mf16c"
AVXVNNI = AVX2 + " -mavxvnni"
AVX512 = AVX2 + " -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vnni -mprefer-vector-width=512"


class Part(NamedTuple):
    """One compilation of the sources.

    A library's first part has the interface. Each further one has a kernel for better CPUs.
    """

    macros: str
    cpu: str = ""  # options of GCC and Clang for the CPU
    zig_cpu: str = ""  # ziglang's, if it has names of its own
    switch: str = ""  # the first part's macro for it. It is left out if a compiler is too old

    def options(self, zig: bool) -> list[str]:
        return ((zig and self.zig_cpu) or self.cpu).split()


MACHINES = {
    "x86_64": (
        Part("-DEL_WITH_AVX2 -DEL_WITH_AVXVNNI -DEL_WITH_AVX512"),
        Part('-DEL_LANES=8 -DEL_KERNEL=el_kernel_avx2 -DEL_KERNEL_NAME="avx2"', AVX2),
        Part(
            '-DEL_LANES=8 -DEL_KERNEL=el_kernel_avxvnni -DEL_KERNEL_NAME="avx-vnni"',
            AVXVNNI,
            switch="-DEL_WITH_AVXVNNI",  # from GCC 11 and Clang 12 on
        ),
        Part('-DEL_LANES=16 -DEL_KERNEL=el_kernel_avx512 -DEL_KERNEL_NAME="avx512"', AVX512),
    ),
    "aarch64": (
        Part('-DEL_WITH_DOTPROD -DEL_KERNEL_NAME="neon"'),
        Part(
            '-DEL_KERNEL=el_kernel_dotprod -DEL_KERNEL_NAME="neon-dotprod"',
            "-march=armv8.2-a+dotprod",
            "-mcpu=generic+dotprod",
        ),
    ),
    # The baseline is Debian's armhf, VFPv3 with 16 registers. ziglang's would have NEON and 32.
    "armv7l": (
        Part("-DEL_WITH_NEON", zig_cpu="-mcpu=generic+v7a+vfp3d16-neon-d32"),
        Part(
            '-DEL_KERNEL=el_kernel_neon -DEL_KERNEL_NAME="neon"',
            "-mfpu=neon",
            "-mcpu=generic+v7a+neon",
        ),
    ),
}
# Platform tag of the wheel -> ziglang's name of the target.
PLATFORMS = {
    "manylinux2014_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux2014_aarch64": "aarch64-linux-gnu.2.17",
    "manylinux2014_armv7l": "arm-linux-gnueabihf.2.17",
    "musllinux_1_1_x86_64": "x86_64-linux-musl",
    "musllinux_1_1_aarch64": "aarch64-linux-musl",
    "musllinux_1_1_armv7l": "arm-linux-musleabihf",
}


def sources() -> list[Path]:
    """The C files of the kernel: edge_lstm.c, and those of the list of layers."""
    layers = re.findall(
        r"^EL_LAYER\(\w+, \d+, (\w+)\)", (NATIVE / "layers.h").read_text(), re.MULTILINE
    )
    return [NATIVE / f"{name}.c" for name in ("edge_lstm", *layers)]


class CompileError(Exception):
    """There is no library. The message is one line and says why."""


def machine_of(platform: str) -> str:
    """The machine of a platform of PLATFORMS, such as "aarch64"."""
    return next(machine for machine in MACHINES if platform.endswith(f"_{machine}"))


def compiler_for(platform: str) -> list[str]:
    """ziglang's command for a platform of PLATFORMS. Raises CompileError."""
    if platform not in PLATFORMS:
        raise CompileError(
            f"{VARIABLE}={platform} is no platform; expected pure or one of {', '.join(PLATFORMS)}"
        )
    if importlib.util.find_spec("ziglang") is None:
        raise CompileError(
            f"ziglang, which compiles for {platform}, is not installed; "
            f'run: pip install "{ZIGLANG}"'
        )
    return [sys.executable, "-m", "ziglang", "cc", "-target", PLATFORMS[platform]]


def sum_of(library: Path) -> Path:
    """The file with its checksum, without which the runtime does not load it."""
    return library.with_name(library.name + SUM)


def compile_library(
    out: Path,
    machine: str,
    compiler: Sequence[str],
    *,
    zig: bool = False,
    options: Sequence[str] = (),
    python: bool = True,
) -> None:
    """Make the library `out` for a machine of MACHINES, and its checksum beside it.

    compiler: its command, which may be a cross compiler's. zig: whether it wants ziglang's options.
    options: further ones for it. python: whether it is a module of Python, or for C alone, with the
    functions of edge_lstm.h. Raises CompileError.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = _known_parts(MACHINES[machine], compiler, zig)
        objects = []
        for k, part in enumerate(parts):
            flags = [*COMPILE.split(), *part.macros.split(), *part.options(zig), *options]
            if python:
                flags += ["-DEL_API=", f"-I{NATIVE}"]  # only the module's own function is seen
            extension = sorted(EXTENSION.glob("*.c")) if python and k == 0 else []
            for source in (*sources(), *extension):
                objects.append(f"{k}-{source.stem}.o")
                _run([*compiler, *flags, "-c", str(source), "-o", objects[-1]], folder)
        # The first part's CPU must run the code that the compiler adds of its own too.
        flags = [*LINK.split(), *parts[0].options(zig)]
        if not python:
            flags.append("-Wl,-z,defs")  # a module finds Python's functions when it is loaded
        _run([*compiler, *flags, *objects, "-o", "library.so"], folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        library = (Path(folder) / "library.so").read_bytes()
        line = f"{hashlib.sha256(library).hexdigest()}  {out.name}\n"  # as of the tool sha256sum
        for path, content in ((sum_of(out), line.encode()), (out, library)):
            new = path.with_name(f"{path.name}.new")
            new.write_bytes(content)
            new.replace(path)  # at once: a process may have the old one open


def _known_parts(parts: Sequence[Part], compiler: Sequence[str], zig: bool) -> list[Part]:
    """The parts without those that may be left out and whose CPU the compiler doesn't know."""
    unknown = []
    for part in parts:
        if part.switch:
            try:
                _run([*compiler, *part.options(zig), "-E", "-xc", os.devnull], None)
            except CompileError:
                unknown.append(part)
    macros = parts[0].macros.split()
    left = [macro for macro in macros if macro not in [part.switch for part in unknown]]
    first = parts[0]._replace(macros=" ".join(left))
    return [first, *(part for part in parts[1:] if part not in unknown)]


def compile_for(
    platform: str, out: Path, *, options: Sequence[str] = (), python: bool = True
) -> None:
    """Make the library `out` for a platform of PLATFORMS, by ziglang. Raises CompileError."""
    compiler = compiler_for(platform)
    machine = machine_of(platform)
    compile_library(out, machine, compiler, zig=True, options=options, python=python)


def compile_here(out: Path, *, python: bool = True) -> str:
    """Make the library `out` for this machine -> the wheel's platform tag. Raises CompileError."""
    tags = list(platform_tags())
    # A Python of 32 bits on a 64-bit ARM says linux_armv8l and linux_armv7l.
    machine = next((name for name in MACHINES if f"linux_{name}" in tags), None)
    if machine is None:
        raise CompileError(f"there is none for {tags[0]}, only for Linux on {', '.join(MACHINES)}")
    platform = next((tag for tag in tags if tag in PLATFORMS), None)
    if platform and not os.environ.get("CC") and importlib.util.find_spec("ziglang"):
        compile_for(platform, out, python=python)
        return platform
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(compiler[0]) is None:
        raise CompileError(f"there is no C compiler here, neither {compiler[0]} nor ziglang")
    compile_library(out, machine, compiler, python=python)
    return f"linux_{machine}"


def compile_in_place() -> None:
    """Make the working tree's library, for this machine. Raises CompileError.

    If that fails, there is none afterwards.
    """
    try:
        compile_here(LIBRARY)
    except CompileError:
        for path in (LIBRARY, sum_of(LIBRARY)):
            path.unlink(missing_ok=True)  # an old one would be taken for this source's
        raise


def build_wheel(out: Path, platform: str, project: Path = ROOT) -> None:
    """Make a wheel in the folder `out`. platform: of PLATFORMS, or "pure". Raises CompileError."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    command = [*build, "--outdir", str(out), str(project)]
    _run(command, None, {**os.environ, VARIABLE: platform})


def build_wheels(out: Path) -> None:
    """Make every wheel. Raises CompileError."""
    for platform in (*PLATFORMS, "pure"):
        build_wheel(out, platform)
    build_wheel(out, "pure", ROOT.parent)  # the desktop's


def _run(
    command: Sequence[str], folder: str | None, variables: dict[str, str] | None = None
) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
    except OSError as e:
        raise CompileError(f"{command[0]} can't be run: {e.strerror}") from e
    if done.returncode != 0:
        lines = (
            done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        ).splitlines()
        told = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise CompileError(
            f"`{' '.join(Path(part).name for part in command[:4])} ...` failed: {told.strip()}"
        )


def bill(metadata: ProjectMetadata[Any], library: Path | None) -> bytes:
    """The bill of materials that lies in a wheel: CycloneDX 1.6. The same wheel has the same one.

    It lists the packages that the wheel needs, those of extras as optional, and the library. The
    bill that `edge-lstm sbom` makes of a finished wheel has the wheel's own sha256 besides.
    """
    core = metadata.core
    asked = [(line, "required") for line in core.dependencies]
    asked += [(line, "optional") for extra in core.optional_dependencies.values() for line in extra]
    components: dict[str, dict[str, Any]] = {}
    for line, scope in asked:
        needed = Requirement(line)
        if canonicalize_name(needed.name) != core.name:  # an extra that is made of others
            requires = {"name": "edge-lstm:requires", "value": str(needed.specifier) or "any"}
            made = _component(needed.name) | {"scope": scope, "properties": [requires]}
            components.setdefault(made["bom-ref"], made)
    if library is not None:
        digest = {"alg": "SHA-256", "content": hashlib.sha256(library.read_bytes()).hexdigest()}
        file = {"type": "file", "bom-ref": f"file:{IN_WHEEL}", "name": IN_WHEEL, "hashes": [digest]}
        components[IN_WHEEL] = file
    subject = _component(core.name) | {"version": metadata.version}
    subject["licenses"] = [{"expression": core.license_expression}]
    refs = [component["bom-ref"] for component in components.values()]
    content = {
        "metadata": {"component": subject},
        "components": list(components.values()),
        "dependencies": [
            {"ref": subject["bom-ref"], "dependsOn": refs},
            *({"ref": ref, "dependsOn": []} for ref in refs),
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}"}
    return json.dumps({**head, "version": 1, **content}, separators=(",", ":")).encode()


def _component(name: str) -> dict[str, Any]:
    plain = canonicalize_name(name)
    purl = f"pkg:{'generic' if plain.startswith('edge-lstm') else 'pypi'}/{plain}"
    return {"type": "library", "bom-ref": purl, "name": name, "purl": purl}


class WheelHook(BuildHookInterface[Any]):
    """The hook that hatchling calls for a wheel: the kernel of the runtime's, the bill of each."""

    def dependencies(self) -> list[str]:
        named = os.environ.get(VARIABLE, "") not in ("", "pure")
        return [ZIGLANG] if named and self.metadata.name == RUNTIME else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        library = Path(self._folder.name) / LIBRARY.name
        if self.metadata.name == RUNTIME:
            self._add_kernel(library, version, build_data)
        if version != "editable":
            path = library.with_name(f"{self.metadata.name}.cdx.json")
            path.write_bytes(bill(self.metadata, library if library.exists() else None))
            build_data["sbom_files"].append(str(path))

    def _add_kernel(self, library: Path, version: str, build_data: dict[str, Any]) -> None:
        platform = "" if version == "editable" else os.environ.get(VARIABLE, "")
        if platform == "pure":
            return
        try:
            if version == "editable":
                compile_in_place()
                return
            if platform:
                compile_for(platform, library)
            else:
                platform = compile_here(library)
        except CompileError as e:
            if platform:
                self.app.abort(f"edge-lstm: error: {e}")
            self.app.display_warning(
                f"edge-lstm-runtime without its native kernel, so the runtime will use NumPy: {e}"
            )
            return
        build_data["force_include"][str(library)] = IN_WHEEL
        build_data["force_include"][str(sum_of(library))] = IN_WHEEL + SUM
        build_data["pure_python"] = False
        build_data["tag"] = f"{TAG}-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        self._folder.cleanup()


class RuntimeHook(MetadataHookInterface):
    """The hook that hatchling calls for what edge-lstm depends on."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = [f"edge-lstm-runtime=={metadata['version']}"]


def main(arguments: Sequence[str]) -> None:
    try:
        if not arguments:
            compile_in_place()
            print(f"{LIBRARY.relative_to(ROOT)}: {LIBRARY.stat().st_size / 1000:.0f} kB")
        elif len(arguments) == 2 and arguments[0] == "wheels":
            build_wheels(Path(arguments[1]))
        else:
            raise SystemExit(__doc__)
    except CompileError as e:
        raise SystemExit(f"hatch_build: error: {e}") from e


if __name__ == "__main__":
    main(sys.argv[1:])
