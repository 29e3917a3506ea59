"""Every option of the configuration with every kind of wrong value: a sentence that names it, never more."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from n2amd.config.data import DataSource
from n2amd.config.engines import Cp2kSettings, PyscfSettings
from n2amd.config.job import Config, load, validate
from n2amd.config.material import Material
from n2amd.config.meant import USUAL_NAMES, number_meant
from n2amd.config.scissor import Scissor
from n2amd.config.sections import SECTIONS
from n2amd.config.structures import StructureSettings
from n2amd.errors import InputError, SeveralFaultsError

WRONG: list[Any] = [
    None,
    "",
    "abc",
    -1,
    0,
    1e99,
    -0.5,
    math.nan,
    math.inf,
    True,
    [],
    {},
    ["abc"],
    [0],
    [[1]],
    {"abc": 1},
]
TEXT, PATHS = ("abc",), ([], ["abc"])
#: What of these values an option may have, by its place; the others may have none but their own bounds.
MAY_BE: dict[str, tuple[Any, ...]] = {
    "materials.Si.structure": TEXT,
    "results": TEXT,
    "materials.Si.functionals.pbe.exclude": ([], ["abc"], [0]),
    "materials.Si.functionals.pbe.scissors": ([],),
    "materials.Si.functionals.pbe.band_path": PATHS,
    "materials.Si.functionals.pbe.structures.file": TEXT,
    "materials.Si.functionals.pbe.structures": ({},),
    "materials.Si.functionals.pbe.active_learning": ({},),
    "materials.Si.functionals.pbe.scissors.0.label": TEXT,
    "materials.Si.overrides": ({},),
    **{
        f"materials.Si.functionals.pbe.engine.{name}": TEXT
        for name in ("basis", "potential", "command", "pseudopotential")
    },
    **{f"materials.Si.functionals.pbe.engine.{name}_file": TEXT for name in ("basis", "potential")},
    **{
        f"materials.Si.functionals.pbe.{name}": PATHS
        for name in ("trajectory_paths", "density_paths", "forcefield_paths", "forcefield_test_paths")
    },
    "materials.Si.functionals.pbe.paths": (["abc"],),
    "dynamics.seeds": ([0],),
    **{name: ({},) for name in SECTIONS},
}


def job() -> dict[str, Any]:
    """A job with a part of every kind."""
    source = {
        "code": "honpas",
        "paths": ["frames"],
        "scissors": [{"label": "wide", "gap_eV": 2.0}],
        "structures": {},
        "active_learning": {},
    }
    material = {"structure": "cell.vasp", "functionals": {"pbe": source}, "overrides": {}}
    sections = {name: {} for name in Config.model_fields if name in SECTIONS}
    return {"materials": {"Si": material}, "supercells": ["1x1x1"], **sections}


def with_engine(program: str) -> dict[str, Any]:
    document = job()
    source = document["materials"]["Si"]["functionals"]["pbe"]
    del source["code"], source["paths"]
    source["engine"] = {"program": program}
    return document


def every_option() -> Iterator[tuple[str, dict[str, Any], tuple[str | int, ...], Any]]:
    """Yield an id, a whole job, the place of an option in it, and its annotation."""
    pbe = ("materials", "Si", "functionals", "pbe")
    parts: list[tuple[tuple[str | int, ...], Any, dict[str, Any]]] = [
        ((), Config, job()),
        (("materials", "Si"), Material, job()),
        (pbe, DataSource, job()),
        ((*pbe, "scissors", 0), Scissor, job()),
        ((*pbe, "structures"), StructureSettings, job()),
        ((*pbe, "active_learning"), SECTIONS["active_learning"], job()),
        ((*pbe, "engine"), Cp2kSettings, with_engine("cp2k")),
        ((*pbe, "engine"), PyscfSettings, with_engine("pyscf")),
        *(((name,), SECTIONS[name], job()) for name in Config.model_fields if name in SECTIONS),
    ]
    for place, model, document in parts:
        for name, field in model.model_fields.items():
            yield ".".join(map(str, (*place, name))), document, (*place, name), field


OPTIONS = list(every_option())


def put(document: dict[str, Any], place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    here: Any = changed
    for part in place[:-1]:
        here = here[part]
    here[place[-1]] = value
    return changed


def in_bounds(field: Any, value: Any) -> bool:
    """Whether a number lies within the bounds that an option says it has, and an integer is whole."""
    kinds = str(field.annotation)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return isinstance(value, bool) and "bool" in kinds
    if "int" in kinds and value != int(value):
        return False
    if "int" not in kinds and "float" not in kinds:
        return False
    bounds = {
        name: getattr(m, name)
        for m in field.metadata
        for name in ("gt", "ge", "lt", "le")
        if hasattr(m, name)
    }
    assert bounds, f"a number without bounds: {field}"
    return (
        value > bounds.get("gt", -math.inf)
        and value >= bounds.get("ge", -math.inf)
        and value < bounds.get("lt", math.inf)
        and value <= bounds.get("le", math.inf)
    )


def attempt(document: dict[str, Any]) -> tuple[Config | None, InputError | None]:
    try:
        return validate(document, "job.yaml"), None
    except InputError as error:
        return None, error


@pytest.mark.parametrize(("name", "document", "place", "field"), OPTIONS, ids=[o[0] for o in OPTIONS])
def test_a_wrong_value_is_a_sentence_that_names_its_option(
    name: str, document: dict[str, Any], place: tuple[str | int, ...], field: Any
) -> None:
    for value in WRONG:
        checked, error = attempt(put(document, place, value))
        for sentence in error.sentences if error else []:
            assert "\n" not in sentence
            assert sentence.startswith("job.yaml")
            assert "pydantic" not in sentence
            assert len(sentence) < 450, sentence
        # or what the option contradicts, which the sentence names instead
        if error:
            field_named = str(error.field)
            named = name in field_named or str(place[-1]) in str(error) or field_named in name
            assert named, f"{name}: {value!r} gives {error}"
            continue
        assert (
            (value is None and type(None) in getattr(field.annotation, "__args__", ()))
            or any(value is known or value == known for known in MAY_BE.get(name, ()))
            or (not isinstance(value, str | list | dict) and value is not None and in_bounds(field, value))
        ), f"{name} took {value!r} as {checked}"


@pytest.mark.parametrize("whole", [None, "abc", 3, [], [1], True, {1: 2}, {None: 3}, {"materials": [1]}])
def test_a_document_of_another_kind_is_a_sentence(whole: Any) -> None:
    with pytest.raises(InputError) as caught:
        validate(whole, "job.yaml")
    assert all("\n" not in sentence for sentence in caught.value.sentences)


def test_all_faults_are_told_at_once() -> None:
    document = job()
    document["dynamics"] = {"trajektories": 3, "methods": ["dishh"], "seeds": [-1]}
    document["trajectory"] = {"temperature_K": -300}
    document["materials"]["Si"]["functionals"]["pbe"]["code"] = "honpass"
    with pytest.raises(SeveralFaultsError) as caught:
        validate(document, "job.yaml")
    said = "\n".join(caught.value.sentences)
    assert len(caught.value.sentences) == 5
    for part in (
        "'dynamics.trajektories': there is no such option; did you mean trajectories?",
        "'dynamics.methods.0': 'dishh' is none of dish, dish_renewal,",
        "did you mean dish?",
        "'dynamics.seeds.0': is -1, must be at least 0",
        "'trajectory.temperature_K': is -300, must be above 0",
        "'materials.Si.functionals.pbe.code': 'honpass' is none of honpas, siesta",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"supercells": ["2x2x2", [2, 2, 2]]}, "'supercells': 2x2x2 is there twice; remove one"),
        ({"supercells": ["2x2x2", "2 X 2 x 2"]}, "'supercells': 2x2x2 is there twice"),
        ({"supercells": [2, 2, 2]}, r"'supercells': \[2, 2, 2\] holds numbers, no supercells"),
        ({"supercells": ["1000x1x1"]}, "'1000x1x1' is no supercell"),
        ({"dynamics": {"seeds": [1, 2, 1]}}, "'dynamics.seeds': 1 is there twice"),
        ({"dynamics": {"methods": ["dish", "dish"]}}, "'dynamics.methods': dish is there twice"),
        ({"dynamics": {"absorbing": "no"}}, "'no' is neither true nor false"),
        ({"dynamics": {"absorbing": 0}}, "0 is neither true nor false"),
        ({"dynamics": {"seeds": [True]}}, "is a truth value, where something else is meant"),
        ({"dynamics": {"timestep_fs": 1}}, "it is an option of trajectory: put it there"),
        ({"states": {"kpoint": [0, 0]}}, r"\[0, 0\] has too few entries"),
        ({"states": {"kpoint": [0, 0, 7]}}, "is 7, must be at most 1"),
        ({"hamiltonian": None}, "'hamiltonian': has no value; give one, or leave the line out"),
        ({"results": "$NO_SUCH_VARIABLE/x"}, "names the variable .NO_SUCH_VARIABLE, which is not set"),
        ({"trajectory": {"timestep_fs": 1e-300}}, "must be at least 0.01"),
        ({"results": None}, "'results': has no value; give one, or leave the line out"),
        ({"supercells": None}, r"'supercells': has no value; give one; correct it .supercells as AxBxC"),
        ({"results": ["there"]}, r"'results': \['there'\] is no path"),
        ({"results": "x" * 300}, r"has a name of 300 bytes; 255 are what a file may have"),
        ({"results": "x/" * 2000}, r"is longer than 3800 bytes; take a shorter path"),
        ({"results": "{material}"}, "holds '{', which the workflow takes for something else; leave it out"),
        ({"results": "<results>"}, "holds '<', which the workflow takes"),
        ({"results": "a\nb"}, r"holds '\\n', which the workflow takes"),
        ({"results": "-x"}, "'-x' begins with a dash, as an option of a command does"),
        ({"trajectory": {"timestep_fs": "1d-1"}}, "'1d-1' is no number; write 1e-1$"),
        ({"trajectory": {"temperature_K": "300 K"}}, "'300 K' is no number; write 300 alone, in the unit"),
        ({"trajectory": {"temperature_K": "300,5"}}, "is no number; write decimals behind a point"),
        ({"trajectory": {"frames": "1e3"}}, "'1e3' is no whole number; write 1000$"),
        ({"forcefield": {"test_fraction": "5%"}}, "'5%' is no number; write 0.05$"),
        ({"trajectory": {"dt": 1}}, r"'trajectory\.dt': there is no such option; did you mean timestep_fs\?"),
        ({"trajectory": {"steps": 9}}, "no such option; did you mean frames"),
        ({"trajectory": {"temp": 300}}, "did you mean temperature_K"),
        ({"output": "there"}, "'output': there is no such option; did you mean results"),
    ],
)
def test_what_is_wrong_and_what_was_meant(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        validate({**job(), **change}, "job.yaml")


def test_faults_of_overrides_are_told_where_they_stand() -> None:
    document = job()
    document["materials"]["Si"]["overrides"] = {
        "trajectory": {"temprature_K": 3, "frames": "x"},
        "dynamics": {"seeds": [3, 3]},
    }
    with pytest.raises(SeveralFaultsError) as caught:
        validate(document, "job.yaml")
    assert [error.field for error in caught.value.errors] == [
        "materials.Si.overrides.trajectory.temprature_K",
        "materials.Si.overrides.trajectory.frames",
        "materials.Si.overrides.dynamics.seeds",
    ]
    document["materials"]["Si"]["overrides"] = {"dynamic": {}}
    with pytest.raises(InputError, match=r"section 'dynamic' is none of .*; did you mean dynamics\?"):
        validate(document)


def test_labels_of_scissors_are_unlike() -> None:
    document = job()
    source = document["materials"]["Si"]["functionals"]["pbe"]
    source["scissors"] = [{"gap_eV": 1.0}, {"gap_eV": 2.0}]
    with pytest.raises(InputError, match="two scissors have the label 'scissor'; give each a label"):
        validate(document)


@pytest.mark.parametrize(
    ("material", "label", "sentence"),
    [
        ("logs", "pbe", "a material cannot be called 'logs'"),
        ("Si", "2x2x2", "a functional cannot be called '2x2x2'"),
        ("Si", "figures", "a functional cannot be called 'figures'"),
    ],
)
def test_names_that_share_a_folder_of_the_results(material: str, label: str, sentence: str) -> None:
    source = {"code": "honpas", "paths": ["frames"]}
    document = {
        "materials": {material: {"structure": "cell.vasp", "functionals": {label: source}}},
        "supercells": ["1x1x1"],
    }
    with pytest.raises(InputError, match=sentence):
        validate(document)


def test_other_spellings_of_a_supercell_are_one() -> None:
    document = job()
    document["supercells"] = [[2, 2, 2], "3 X 3 x 1", "4×4×4"]
    assert validate(document).supercells == ["2x2x2", "3x3x1", "4x4x4"]


def test_an_accepted_job_is_accepted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the workflow hands on is what it read: patterns replaced, nothing else changed."""
    monkeypatch.chdir(tmp_path)
    for name in ("set_10", "set_2"):
        (tmp_path / name).mkdir()
    document = job()
    document["materials"]["Si"]["functionals"]["pbe"]["paths"] = ["set_*"]
    checked = validate(document)
    assert [p.name for p in checked.materials["Si"].functionals["pbe"].paths] == ["set_2", "set_10"]
    assert validate(checked.model_dump(mode="json")) == checked
    (tmp_path / "job.json").write_text(checked.model_dump_json())
    assert load(tmp_path / "job.json") == checked


def test_usual_names_stand_for_options_that_there_are() -> None:
    options = {name for model in (Config, Material, *SECTIONS.values()) for name in model.model_fields}
    assert {option for meant in USUAL_NAMES.values() for option in meant} <= options


@pytest.mark.parametrize("text", ["abc", "", "1e-3", "2x2", "1,5x", "1.5.2"])
def test_what_is_no_whole_number_is_not_guessed(text: str) -> None:
    assert number_meant(text, whole=True) is None
