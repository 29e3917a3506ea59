"""A frame kept between two runs comes back as it was, and nothing in its file can run."""

from __future__ import annotations

import ast
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import n2amd
from n2amd.dft.readers import reader_for
from n2amd.ingestion.parts import Part, read_part, write_part

SAMPLE = Path(__file__).parents[1] / "data" / "honpas-si2"


@pytest.fixture(scope="module")
def part() -> Part:
    reader = reader_for("honpas", None)
    (folder,) = reader.find([SAMPLE])[:1]
    frame, basis = reader.read(folder, "honpas")
    rng = np.random.default_rng(3)
    odd = replace(frame, velocities=rng.normal(size=frame.structure.positions.shape), energy=None)
    return Part(odd, basis, {"gap": 0.1 + 0.2, "unknown": float("nan")}, "abc", {"gap": "Å, small"})


def test_a_part_comes_back_to_the_bit(part: Part, tmp_path: Path) -> None:
    write_part(tmp_path / "key", part)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    found = read_part(tmp_path / "key")
    assert found is not None
    for name in ("name", "energy", "n_electrons", "charge", "fermi_level", "origin", "hermiticity_error"):
        assert getattr(found.frame, name) == getattr(part.frame, name), name
    for name in ("velocities", "forces", "stress"):
        np.testing.assert_array_equal(getattr(found.frame, name), getattr(part.frame, name))
    for name in ("cell", "positions", "numbers", "pbc"):
        np.testing.assert_array_equal(
            getattr(found.frame.structure, name), getattr(part.frame.structure, name)
        )
    for kind in ("hamiltonian", "overlap"):
        ours, theirs = getattr(found.frame, kind), getattr(part.frame, kind)
        assert [*ours.values] == [*theirs.values]
        for key, values in theirs.values.items():
            np.testing.assert_array_equal(ours.values[key], values)
            assert ours.values[key].dtype == values.dtype
            for name in ("i", "j", "shift"):
                np.testing.assert_array_equal(
                    getattr(ours.pairs[key], name), getattr(theirs.pairs[key], name)
                )
    np.testing.assert_array_equal(found.frame.bands.energies, part.frame.bands.energies)
    assert found.basis.to_json() == part.basis.to_json()
    assert (found.sha256, found.warnings) == (part.sha256, part.warnings)
    assert found.figures["gap"] == part.figures["gap"]
    assert np.isnan(found.figures["unknown"])


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_part_counts_as_none(part: Part, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "key"
    assert read_part(path) is None
    write_part(path, part)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    assert read_part(path) is None
    assert (tmp_path / "key.damaged").exists()


def test_a_pickle_is_put_aside_and_not_opened(
    part: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'harm')!r}, 'w')",)

    (tmp_path / "key").write_bytes(pickle.dumps(Harm()))
    assert read_part(tmp_path / "key") is None
    assert not (tmp_path / "harm").exists()
    assert "is damaged" in capsys.readouterr().err
    assert (tmp_path / "key.damaged").exists()


def test_no_module_reads_what_can_run_code() -> None:
    for file in Path(n2amd.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                assert not names & {"pickle", "marshal", "shelve", "dill", "joblib"}, file
            if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
                said = (node.arg, node.value.value)
                assert said not in {("weights_only", False), ("allow_pickle", True)}, file
