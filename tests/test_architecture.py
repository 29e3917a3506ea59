"""The lines that the code keeps: who imports whom, how long a file may be, what a rule may not hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from n2amd.sources import Sources

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "n2amd"
SOURCES = sorted(PACKAGE.rglob("*.py"))

FLOOR = {
    "device",
    "fields",
    "errors",
    "versions",
    "units",
    "structure",
    "poscar",
    "storage",
    "checksums",
    "leftovers",
    "part_stream",
    "restart",
    "seals",
    "trust",
    "sources",
    "progress",
    "provenance",
    "config",
    "paths",
    "launcher",
    "plugins",
    "__init__",
}
# what a part may import besides the floor and itself
ALLOWED = {
    "structures": {"blocks"},
    "orbitals": {"blocks"},
    "frames": {"orbitals", "blocks"},
    "baseline": {"frames", "orbitals", "blocks"},
    "dft": {"baseline", "frames", "orbitals", "blocks"},
    "dataset": {"baseline", "frames", "orbitals", "blocks"},
    "ingestion": {"dataset", "dft", "baseline", "frames", "orbitals", "blocks"},
    "states": {"trajectory", "dataset", "frames", "orbitals", "blocks"},
    "network": {"states", "dataset", "baseline", "frames", "orbitals", "blocks", "soap"},
    "couplings": {"network", "states", "trajectory", "frames", "orbitals", "blocks"},
    "hopping": {"couplings"},
    "analysis": {"hopping", "couplings"},
    "interop": {"hopping", "couplings", "frames", "orbitals", "blocks"},
    "forcefield": {"interop", "dataset", "frames"},
    "cost": {"states", "blocks"},
    "machine": {"cost", "states", "dft", "interop"},
    "preflight": {
        *("analysis", "interop", "network", "states", "trajectory", "ingestion", "dataset", "dft"),
        *("baseline", "frames", "orbitals"),
    },
}
TORCH = {"torch", "e3nn", "nequip", "allegro", "lightning"}


def part_of(file: Path) -> str:
    relative = file.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(file: Path) -> set[str]:
    """Absolute names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; write it in full"
            found.add(node.module or "")
            if node.module == "n2amd":
                found |= {f"n2amd.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_one_way(file: Path) -> None:
    part = part_of(file)
    if part in ("commands", "cli"):
        return
    parts = {name.split(".")[1] for name in imports(file) if name.startswith("n2amd.")}
    own = {part} if part not in FLOOR else set()
    allowed = FLOOR | own | ALLOWED.get(part, set())
    # names imported from the package itself, such as __version__
    parts = {name for name in parts if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()}
    assert parts <= allowed, f"{part} must not import {sorted(parts - allowed)}"


def test_no_part_imports_one_that_imports_it() -> None:
    above: dict[str, set[str]] = {}
    for file in SOURCES:
        parts = {name.split(".")[1] for name in imports(file) if name.startswith("n2amd.")}
        above.setdefault(part_of(file), set()).update(parts - FLOOR - {part_of(file)})
    while above:
        lowest = {part for part, needed in above.items() if not needed & set(above)}
        assert lowest, f"parts import each other in a circle: {sorted(above)}"
        above = {part: needed for part, needed in above.items() if part not in lowest}


def test_what_a_part_may_import_it_does() -> None:
    for part, allowed in ALLOWED.items():
        files = [file for file in SOURCES if part_of(file) == part]
        found = {name.split(".")[1] for file in files for name in imports(file) if name.startswith("n2amd.")}
        assert allowed <= found, f"{part} no longer imports {sorted(allowed - found)}"


@pytest.mark.parametrize("part", ["hopping", "analysis"])
def test_dynamics_and_analysis_need_no_torch(part: str) -> None:
    for file in (PACKAGE / part).rglob("*.py"):
        heavy = {name.split(".")[0] for name in imports(file)} & TORCH
        assert not heavy, f"{file} imports {sorted(heavy)}"


def test_importing_dynamics_and_analysis_loads_no_torch() -> None:
    program = (
        "import sys, pkgutil, importlib, n2amd.hopping, n2amd.analysis\n"
        "for package in (n2amd.hopping, n2amd.analysis):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print([name for name in ('torch', 'e3nn', 'nequip') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 400


def test_no_drawers_for_odds_and_ends() -> None:
    assert not [file for file in SOURCES if file.stem in ("utils", "helpers", "misc", "common")]


def test_nothing_is_left_for_later() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert not [str(file) for file in SOURCES if unfinished.search(file.read_text())]


RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_rules_keep_their_form(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"^\s*retries:", text, re.MULTILINE), "retries belong in the profile"
    assert not re.search(r"^\s*(run|script):", text, re.MULTILINE), "a rule calls a command"
    rules = re.split(r"^\s*rule(?: \w+)?:\n", text, flags=re.MULTILINE)[1:]
    for rule in rules:
        for directive in ("input", "output", "log", "benchmark", "conda", "threads", "resources", "shell"):
            assert re.search(rf"^\s*{directive}:", rule, re.MULTILINE), (
                f"{file.name}: a rule lacks {directive}:"
            )


def test_every_rule_with_a_command_names_the_code_behind_it() -> None:
    sources = Sources(PACKAGE)
    for file in RULES:
        text = file.read_text()
        commands = re.findall(r"^rule .*?^    shell:", text, re.MULTILINE | re.DOTALL)
        assert all("code=code(" in rule for rule in commands), file.name
        for call in re.findall(r"\bcode\(([^)]*)\)", text):
            for root in re.findall(r'"([^"]+)"', call):
                assert sources.closure([root]), f"{file.name} names {root}"


def test_no_default_profile() -> None:
    """profiles/default would override every other profile, key by key."""
    assert not (ROOT / "profiles" / "default").exists()


def test_lock_file_pins_every_dependency() -> None:
    """Torch apart, which `envs/install.sh` installs first, in a build that suits the machine."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    files = ("envs/requirements.txt", "envs/requirements-docs.txt")
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins["torch"] = re.search(r"torch==([\d.]+)", (ROOT / "envs/install.sh").read_text())[1]
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned"
        assert requirement.specifier.contains(pins[name]), (
            f"{name} {pins[name]} is not {requirement.specifier}"
        )


def test_installation_is_stamped_for_its_packages() -> None:
    """Another lock file must give another stamp, or an old environment would pass for complete."""
    makefile = (ROOT / "Makefile").read_text()
    for file in ("envs/requirements.txt", "envs/install.sh", "pyproject.toml"):
        assert file in makefile.split("READY :=", 1)[1].splitlines()[0]
