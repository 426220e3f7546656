"""Renews the locks: exact versions, with the sha256 of every file that the index has of each.

`make lock` runs it, and `make lock UV='--upgrade'` hands an option on to `uv pip compile`. Versions
stay as they are unless an option or a changed requirement moves them.

desktop.txt    what `make demo` needs, for every platform and Python, but torch
dev.txt        what the tests need besides
torch-cpu.txt  torch without CUDA, which PyTorch's own index has
torch.txt      torch as PyPI has it, with its GPU packages
board.txt      what a board with an NPU and MQTT needs
More files list their pins themselves, and get their hashes here: what the environments of the NPU
vendors' converters need, and the benchmarks' peers.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
ROOT = HERE.parent
CONVERTERS = sorted((ROOT / "export/edge_lstm_export/npu").glob("*/requirements.txt"))
PEERS = ROOT / "benchmarks/requirements.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_GPU = re.compile(r"(torch|triton|nvidia-.*|cuda-.*)")
_PIN = re.compile(r"([\w.-]+)==([^\s;]+)")
_HASHES = re.compile(r"(?: \\\n +--hash=\S+)+")


def blocks(text: str) -> list[str]:
    """The pins of a lock, each with its hashes."""
    return re.findall(r"^\w.*\n(?:[ \t].*\n)*", text, re.MULTILINE)


def pin(block: str) -> tuple[str, str]:
    """(package, version)."""
    found = _PIN.match(block)
    if found is None:
        raise SystemExit(f"{block.splitlines()[0]!r} is no pin; expected package==version")
    return found[1], found[2]


def compiled(source: str, *options: str, asked: str = "", pins: str = "") -> list[str]:
    """The blocks of all that it needs.

    source: a file, or "-" for `asked`. pins: versions that are kept if they fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lock.txt"
        out.write_text(pins, "utf-8")
        command = ["uv", "pip", "compile", source, "--universal", "--generate-hashes", "--no-build"]
        command += ["--no-annotate", "--no-header", "--quiet", "--output-file", str(out), *options]
        if subprocess.run(command, cwd=ROOT, input=asked, text=True, check=False).returncode != 0:
            raise SystemExit(f"`{' '.join(command)}` failed")
        return blocks(out.read_text("utf-8"))


def requirements(project: Path, *extras: str) -> str:
    """What a distribution of ours asks for, a line each. It may have extras of its own among them.

    uv would look for edge-lstm-runtime, which is on no index.
    """
    told = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    lines = list(told.get("dependencies", []))
    for extra in extras:
        for line in told["optional-dependencies"][extra]:
            ours = re.fullmatch(rf"{told['name']}\[(.+)\]", line)
            lines += requirements(project, *ours[1].split(",")).splitlines() if ours else [line]
    return "\n".join(lines)


def write(path: Path, content: Sequence[str]) -> None:
    """Under the comment that stands at the top of the file."""
    comment = re.match(r"(#.*\n)*", path.read_text("utf-8"))
    assert comment is not None
    path.write_text(comment[0] + "".join(content), "utf-8")
    print(f"{path.relative_to(ROOT)}: {len(content)} pins")


def main(options: Sequence[str]) -> None:
    names = ("desktop", "dev", "torch", "torch-cpu", "board")
    desktop, dev, torch, cpu, board = (HERE / f"{name}.txt" for name in names)
    old = "".join(path.read_text("utf-8") for path in (desktop, dev, torch))
    options = ["--python-version", "3.10", *options]
    # Resolved together, so that one environment can have all; then the demo's share of it.
    runtime = requirements(ROOT / "deploy")
    asked = f"{runtime}\n{requirements(ROOT, 'dev')}"
    found = compiled("-", *options, asked=asked, pins=old)
    asked = f"{runtime}\n{requirements(ROOT, 'desktop', 'build')}"
    of_demo = {pin(b)[0] for b in compiled("-", *options[:2], asked=asked, pins="".join(found))}
    write(torch, [b for b in found if _GPU.fullmatch(pin(b)[0])])
    others = [b for b in found if not _GPU.fullmatch(pin(b)[0])]
    write(desktop, [b for b in others if pin(b)[0] in of_demo])
    write(dev, [b for b in others if pin(b)[0] not in of_demo])
    old = board.read_text("utf-8") + desktop.read_text("utf-8")
    asked = requirements(ROOT / "deploy", "npu", "mqtt")
    write(board, compiled("-", *options, asked=asked, pins=old))

    version = next(v for name, v in map(pin, found) if name == "torch") + "+cpu"
    if [v for _, v in map(pin, blocks(cpu.read_text("utf-8")))] != [version]:
        asked = f"torch=={version}\n"
        write(cpu, compiled("-", "--no-deps", "--default-index", CPU_INDEX, asked=asked))
    for path, python in (*((path, "3.11") for path in CONVERTERS), (PEERS, "3.10")):
        listed = blocks(path.read_text("utf-8"))
        others = [_HASHES.sub("", b) for b in listed if pin(b)[0] != "torch"]
        made = compiled("-", "--no-deps", "--python-version", python, asked="".join(others))
        if len(others) < len(listed):
            made += blocks(cpu.read_text("utf-8"))
        write(path, sorted(made))


if __name__ == "__main__":
    main(sys.argv[1:])
