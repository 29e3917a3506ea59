"""What a command imports, and what counts as a change of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import n2amd
from n2amd.sources import COMMANDS, NEUTRAL, Sources

FILES = {
    "__init__.py": "",
    "a.py": "from pack.sub import b\nfrom pack.sub.c import thing\n",
    "lone.py": "import numpy\n",
    "checked.py": "x = 1\n",
    "errors.py": "x = 1\n",
    "sub/__init__.py": "",
    "sub/b.py": "def f():\n    import pack.lazy.d\n",
    "sub/c.py": "from typing import TYPE_CHECKING\nfrom pack.errors import x\n"
    "if TYPE_CHECKING:\n    from pack.checked import x\nthing = 1\n",
    "lazy/__init__.py": "",
    "lazy/d.py": "import pack.a\n",
    "commands/__init__.py": "",
    "commands/x.py": "from pack.commands import y\ndef run():\n    help_of()\n"
    "def help_of():\n    from pack.lazy import d\ndef other():\n    from pack import lone\n",
    "commands/y.py": "from pack.sub import c\ndef run():\n    from pack import lone\n",
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "pack" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pack" / name).write_text(text)
    return tmp_path / "pack"


def test_imports_are_followed_wherever_they_stand(pack: Path) -> None:
    found = Sources(pack).closure(["a.py"])
    named = {"a.py", "sub/b.py", "sub/c.py", "lazy/d.py"}
    assert found == named | {"__init__.py", "sub/__init__.py", "lazy/__init__.py"}
    assert Sources(pack).closure(["sub"]) == found


def test_a_command_is_what_its_function_needs(pack: Path) -> None:
    found = Sources(pack).closure(["commands/x.py:run"])
    assert {"lazy/d.py", "a.py", "commands/y.py"} <= found
    assert "lone.py" not in found
    assert "lone.py" in Sources(pack).closure(["commands/x.py:other"])
    with pytest.raises(LookupError, match="no function walk"):
        Sources(pack).closure(["commands/x.py:walk"])


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("sub/c.py", FILES["sub/c.py"] + "# a comment\n\n\n", False),
        ("sub/c.py", '"""A docstring."""\n' + FILES["sub/c.py"], False),
        ("sub/b.py", FILES["sub/b.py"].replace("():\n", '():\n    """Do."""\n'), False),
        ("sub/c.py", FILES["sub/c.py"].replace("thing = 1", "thing = 2"), True),
        ("lazy/d.py", FILES["lazy/d.py"] + "y = 0\n", True),
        ("checked.py", "x = 2\n", False),
        ("errors.py", "x = 2\n", False),
        ("lone.py", "x = 2\n", False),
    ],
)
def test_only_what_may_change_a_number_counts(pack: Path, file: str, text: str, changes: bool) -> None:
    before = Sources(pack).digest("a.py")
    (pack / file).write_text(text)
    assert (Sources(pack).digest("a.py") != before) == changes


def test_what_is_kept_changes_nothing(pack: Path, tmp_path: Path) -> None:
    kept = tmp_path / "work" / "kept.json"
    first = Sources(pack, kept)
    digest = first.digest("a.py")
    first.keep()
    again = Sources(pack, kept)
    assert again.digest("a.py") == digest == Sources(pack).digest("a.py")
    (pack / "lazy/d.py").write_text("import pack.lone\n")
    assert Sources(pack, kept).digest("a.py") == Sources(pack).digest("a.py") != digest
    for junk in ("", "[]", '{"version": "0"}', "\x00"):
        kept.write_text(junk)
        assert Sources(pack, kept).digest("a.py") == Sources(pack).digest("a.py")


def test_every_neutral_module_exists() -> None:
    package = Path(n2amd.__file__).parent
    assert all(
        (package / name).is_dir() if name.endswith("/") else (package / name).is_file() for name in NEUTRAL
    )
    assert (package / COMMANDS).is_dir()


def test_stages_do_not_hang_together() -> None:
    """A change of the hops trains no network, and one of the network's runs no dynamics."""
    sources = Sources(Path(n2amd.__file__).parent)
    train = sources.closure(["commands/hamiltonian.py:train"])
    run = sources.closure(["commands/dynamics.py:run"])
    assert {"network/density_model.py", "baseline/mesh_kernels.py", "orbitals/harmonics.py"} <= train
    assert {"hopping/dish_kernel.py", "units.py"} <= run
    assert not any(module.startswith("hopping/") for module in train)
    assert not any(module.startswith(("network/", "baseline/")) for module in run)
