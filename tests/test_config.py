"""The models of the configuration, and what is generated from them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from n2amd.config.job import Config, load, validate
from n2amd.config.reference import PAGES, render
from n2amd.config.section import parse_supercell
from n2amd.config.sections import SECTIONS, load_section
from n2amd.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
JOBS = [
    ["config/config.yaml"],
    ["config/test.yaml"],
    *[
        # a study with materials is a job of its own, the others are laid over the default one
        ([] if "materials:" in study.read_text() else ["config/config.yaml"]) + [str(study.relative_to(ROOT))]
        for study in sorted((ROOT / "config/studies").glob("*.yaml"))
    ],
]


def document(**sections: object) -> dict:
    source = {"code": "honpas", "paths": ["frames"]}
    material = {"structure": "cell.vasp", "functionals": {"pbe": source}}
    return {"materials": {"Si": material}, "supercells": ["1x1x1"], **sections}


def test_a_file_of_comments_changes_nothing_and_is_no_job(tmp_path: Path) -> None:
    job, empty = tmp_path / "job.yaml", tmp_path / "empty.yaml"
    job.write_text(yaml.safe_dump(document()))
    empty.write_text("# all as it was\n")
    assert load(job, empty) == load(job)
    with pytest.raises(InputError, match="the configuration is empty") as caught:
        load(empty)
    assert caught.value.file == empty


@pytest.mark.parametrize("files", JOBS, ids=lambda files: files[-1])
def test_bundled_configurations_are_valid_and_their_files_exist(files: list[str]) -> None:
    job = load(*[ROOT / file for file in files])
    for material in job.materials.values():
        for path in (
            material.structure,
            *[p for s in material.functionals.values() for p in (*s.paths, *s.trajectory_paths)],
        ):
            # what is in dft/ is the user's own
            assert path.parts[0] == "dft" or (ROOT / path).exists(), path


def test_schema_is_in_step_with_the_models() -> None:
    file = ROOT / "workflow/schemas/config.schema.json"
    assert json.loads(file.read_text()) == Config.model_json_schema(), "run `make schema`"


def test_documentation_is_in_step_with_the_models() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == render(), "run `make schema`"


def test_every_option_is_described_with_its_unit() -> None:
    units = {"fs": "fs", "eV": "eV", "meV": "", "K": "K", "A": "Angstrom"}
    for _, place, model in PAGES:
        for name, field in model.model_fields.items():
            assert field.description or place == "", f"{place}.{name} has no description"
            suffix = name.rsplit("_", 1)[-1]
            if units.get(suffix):
                assert re.search(rf"{units[suffix]}", field.description or ""), (
                    f"{place}.{name} lacks its unit"
                )


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"dynamics": {"trajektories": 3}}, "dynamics.trajektories", "no such option"),
        ({"dynamics": {"methods": ["surface"]}}, "dynamics.methods.0", "surface"),
        ({"trajectory": {"temperature_K": -3}}, "trajectory.temperature_K", "-3"),
        ({"trajectory": {"frames": 1}}, "trajectory.frames", "1"),
        ({"supercells": ["2x2"]}, "supercells.0", "2x2"),
        ({"supercells": ["0x1x1"]}, "supercells.0", "0x1x1"),
        ({"hamiltonian": {"channels": []}}, "hamiltonian.channels", "at least one"),
        ({"materials": {}}, "materials", "at least one"),
    ],
)
def test_bad_values_are_named(change: dict, where: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(document(**change), "job.yaml")
    assert caught.value.field == where
    assert what in str(caught.value)
    assert str(caught.value).startswith("job.yaml")


def test_a_misspelt_option_is_recognised() -> None:
    """Even where its absence makes a required one missing."""
    job = document()
    job["supercels"] = job.pop("supercells")
    with pytest.raises(InputError, match=r"supercels.*no such option.*did you mean supercells"):
        validate(job)


@pytest.mark.parametrize(
    ("old", "now"), [("shards", "give frames_per_shard"), ("doubt_samples", "give doubt_stride")]
)
@pytest.mark.parametrize("place", ["states", "overrides"])
def test_an_option_of_earlier_versions_says_what_to_write_now(old: str, now: str, place: str) -> None:
    job = document(states={old: 4}) if place == "states" else document()
    if place == "overrides":
        job["materials"]["Si"]["overrides"] = {"states": {old: 4}}
    with pytest.raises(InputError, match=f"there is no {old} any more: {now}") as error:
        validate(job)
    assert "\n" not in str(error.value)


def test_options_without_effect_exist() -> None:
    for section in SECTIONS.values():
        assert section.without_effect <= section.model_fields.keys()
        assert not section.renamed.keys() & section.model_fields.keys()


def test_overrides_reach_only_their_material() -> None:
    job = document()
    job["materials"]["Ge"] = {**job["materials"]["Si"], "overrides": {"trajectory": {"temperature_K": 77.0}}}
    checked = validate(job)
    assert checked.section("trajectory", "Ge").temperature_K == 77.0
    assert checked.section("trajectory", "Ge").frames == checked.section("trajectory", "Si").frames
    assert checked.section("trajectory", "Si").temperature_K == 300.0


def test_overrides_are_checked() -> None:
    job = document()
    job["materials"]["Si"]["overrides"] = {"trajectory": {"temprature": 77.0}}
    with pytest.raises(InputError):
        validate(job)


def test_files_are_laid_over_each_other(tmp_path: Path) -> None:
    base, change = tmp_path / "base.yaml", tmp_path / "change.yaml"
    base.write_text(yaml.safe_dump(document(dynamics={"methods": ["dish", "fssh"], "samples": 7})))
    change.write_text(yaml.safe_dump({"dynamics": {"methods": ["fssh"]}, "supercells": ["2x1x1"]}))
    job = load(base, change)
    assert job.dynamics.methods == ["fssh"]
    assert job.dynamics.samples == 7
    assert job.supercells == ["2x1x1"]


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("materials:\n  Si: [\n")
    with pytest.raises(InputError, match="not valid YAML near line"):
        load(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "absent.yaml")


@pytest.mark.parametrize("name", sorted(set(SECTIONS) - {"source", "scissor"}))
def test_sections_survive_the_command_line(name: str) -> None:
    """What a rule passes as JSON is what the command gets."""
    settings = SECTIONS[name]()
    assert load_section(name, settings.model_dump_json()) == settings
    assert load_section(name, None) == settings


@given(st.tuples(*[st.integers(1, 99)] * 3))
def test_supercells_are_read_as_written(repeats: tuple[int, int, int]) -> None:
    assert parse_supercell("x".join(map(str, repeats))) == repeats


@given(st.text(max_size=12))
def test_anything_else_is_no_supercell(text: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*", text):
        with pytest.raises(InputError):
            parse_supercell(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"materials": "deeph"}, "would be trained on 'pbe', but DeepH folders hold no energies and forces"),
        ({"materials": "no forces"}, "would be trained on 'pbe', but its engine computes no forces"),
        (
            {"dynamics": {"duration_fs": 3.0, "output_stride": 5}},
            r"duration_fs = 3 is 3 steps .* no population",
        ),
        ({"dynamics": {"duration_fs": 0.5}}, r"duration_fs = 0\.5 is 0 steps"),
        (
            {"dynamics": {"methods": ["dish_renewal"], "detailed_balance": "none"}},
            "dish_renewal is for two states",
        ),
        (
            {"couplings": {"scheme": "analytic"}},
            r"local_diabatic takes overlaps, so that couplings\.scheme = analytic would change nothing",
        ),
        ({"trajectory": {"frames": 3}}, "frames = 3 are too few .*: 4 at least"),
        (
            {"trajectory": {"frames": 100}, "dynamics": {"dephasing_time_fs": 60.0}},
            r"frames = 100 are too few for a lifetime with dynamics\.dephasing_time_fs = 60: 125 at least",
        ),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_at_once(change: dict, message: str) -> None:
    job = document(**{key: value for key, value in change.items() if key != "materials"})
    sources = {
        "deeph": {"code": "deeph", "paths": ["frames"]},
        "no forces": {"engine": {"program": "pyscf", "forces": False}},
    }
    if kind := change.get("materials"):
        job["materials"]["Si"]["functionals"]["pbe"] = sources[kind]
    with pytest.raises(InputError, match=message):
        validate(job)


@pytest.mark.parametrize(
    ("source", "sections", "message"),
    [
        (
            {"label_by": "engine"},
            {},
            r"pbe: active_learning.label_by is engine, but the functional has none|"
            "label_by is engine, but the functional has none",
        ),
        ({"frames": 30, "candidates": 20}, {}, "candidates is 20, fewer than the 30 frames"),
        ({"rounds": 3, "frames": 80}, {}, "3 rounds of 80 frames are more than the 200 that are looked at"),
        (
            {},
            {"trajectory": {"frames": 7}},
            "1 rounds of 8 frames are more than the 7",
        ),
        ({}, {"hamiltonian": {"model": "pair"}}, "which hamiltonian.model = pair has none of"),
        ({"supercell": "2x2"}, {}, "active_learning.supercell"),
    ],
)
def test_rounds_that_could_not_be_done_are_refused(source: dict, sections: dict, message: str) -> None:
    job = document(**sections)
    job["materials"]["Si"]["functionals"]["pbe"]["active_learning"] = {"rounds": 1, **source}
    with pytest.raises(InputError, match=message):
        validate(job)
    job["materials"]["Si"]["functionals"]["pbe"]["active_learning"] = {"rounds": 0}
    validate(job)


def test_labels_come_from_the_engine_where_there_is_one() -> None:
    job = document()
    functionals = job["materials"]["Si"]["functionals"]
    functionals["computed"] = {"engine": {"program": "pyscf"}}
    functionals["by-hand"] = {**functionals["pbe"], "active_learning": {"label_by": "folder"}}
    sources = validate(job).materials["Si"].functionals
    assert [sources[n].labelled_by for n in ("pbe", "computed", "by-hand")] == ["scf", "engine", "folder"]


def test_no_rounds_where_no_density_is_learned() -> None:
    job = document()
    job["materials"]["Si"]["functionals"]["pbe"] |= {"code": "abacus", "active_learning": {"rounds": 1}}
    with pytest.raises(InputError, match="no density is learned from frames of abacus"):
        validate(job)


def test_frames_too_few_for_a_dephasing_time_are_those_that_the_analysis_refuses() -> None:
    from n2amd.analysis.lifetime import scan_length

    for tau, timestep in ((60.0, 1.0), (17.3, 0.5), (9.0, 2.0)):
        settings = {"dynamics": {"dephasing_time_fs": tau}}
        for frames in range(10, 160):
            job = document(trajectory={"frames": frames, "timestep_fs": timestep}, **settings)
            checked = is_refused(partial(validate, job))
            analysed = is_refused(partial(scan_length, tau, timestep, frames))
            assert checked == analysed, (tau, timestep, frames)


def is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except InputError:
        return True
    return False


def test_deeph_folders_are_fitted_and_cannot_do_without() -> None:
    job = document()
    functionals = job["materials"]["Si"]["functionals"]
    functionals["hse06"] = {"code": "deeph", "paths": ["folders"]}
    job["materials"]["Si"]["forcefield_functional"] = "pbe"
    sources = validate(job).materials["Si"].functionals
    assert (sources["pbe"].fits_overlap, sources["hse06"].fits_overlap) == (False, True)
    functionals["hse06"]["fit_overlap"] = False
    with pytest.raises(InputError, match="DeepH folders hold no radial functions"):
        validate(job)


def with_defect(**changes):
    """A job of a vacancy and of the pristine cell it is compared with."""
    source = {"paths": ["resources/tio2-honpas/TiO2_6_train"], "code": "honpas"}
    vacancy = {
        "structure": "resources/tio2-honpas/rutile.vasp",
        "functionals": {"pbe-up": {**source, "spin": "up"}, "pbe-down": {**source, "spin": "down"}},
        "pristine": {"material": "whole", "supercell": "1x1x1"},
        "overrides": {
            "states": {"defect": {"atoms": [0, 1]}},
            "couplings": {"order": "character"},
            "dynamics": {"methods": ["dish"]},
        },
    }
    whole = {"structure": vacancy["structure"], "functionals": {"pbe": source}}
    document = {"materials": {"vacancy": vacancy, "whole": whole}, "supercells": ["1x1x1"]}
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document["materials"]["vacancy"]
        for name in parents:
            place = place[name]
        place[last] = value
    return document


def test_a_functional_names_its_spin_channel():
    job = validate(with_defect())
    found = [job.section("states", "vacancy", label).spin for label in (None, "pbe-up", "pbe-down")]
    assert found == [None, "up", "down"]
    assert job.section("states", "vacancy", "pbe-up").defect.atoms == [0, 1]
    assert job.section("dynamics", "vacancy", "pbe-up").methods == ["dish"]
    assert job.section("states", "whole", "pbe").spin is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"overrides__couplings": {}}, "by character only: set couplings.order to character"),
        ({"overrides__dynamics": {"methods": ["dish"], "carrier": "pair"}}, "know no levels of a defect"),
        (
            {"overrides__dynamics": {}, "overrides__dynamics__methods": ["dish_renewal"]},
            "dish_renewal is for two",
        ),
        ({"overrides__states__spin": "up"}, "functionals.pbe-down.spin = down, but states.spin = up"),
        ({"pristine": {"material": "who", "supercell": "1x1x1"}}, "material = who is none of vacancy, whole"),
        ({"pristine": {"material": "whole", "supercell": "2x2x2"}}, "supercell = 2x2x2 is none of 1x1x1"),
        (
            {"pristine": {"material": "whole", "supercell": "1x1x1", "functional": "hse"}},
            "functional = hse is none of pbe",
        ),
        ({"overrides__states": {}}, "there are no levels of a defect to compare with it"),
        ({"pristine": {"material": "vacancy", "supercell": "1x1x1"}}, "states.defect is set for vacancy too"),
    ],
)
def test_what_does_not_go_with_levels_of_a_defect_is_told(changes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        validate(with_defect(**changes))


MOS2 = {
    "materials": {
        "MoS2": {"structure": "mos2.vasp", "functionals": {"pbe": {"code": "openmx", "paths": ["dft"]}}}
    },
    "supercells": ["3x3x1"],
    "states": {"spin_orbit": "spinors"},
    "dynamics": {"methods": ["dish", "dish_renewal"]},
}


def test_spin_orbit_coupling_is_of_states_in_one_of_two_pictures():
    assert validate(MOS2).states.component == "spinors"
    assert (
        validate({**MOS2, "states": {"spin_orbit": "spin_states"}, "dynamics": {}}).states.component is None
    )
    with pytest.raises(InputError, match="spin_orbit"):
        validate({**MOS2, "states": {"spin_orbit": True}})


@pytest.mark.parametrize(
    ("picture", "section", "options", "said"),
    [
        ("spinors", "dynamics", {"methods": ["dish", "fssh"]}, "spinors: fssh hops between single states"),
        ("spinors", "dynamics", {"methods": ["dish"], "carrier": "pair"}, "are not known with it"),
        ("spinors", "couplings", {"scheme": "analytic"}, "set couplings.scheme to hst"),
        ("spinors", "hamiltonian", {"model": "pair"}, "set hamiltonian.model to auto or density"),
        ("spin_states", "dynamics", {"methods": ["dish"], "scheme": "hst"}, "hst flips no spin"),
        ("spin_states", "dynamics", {"methods": ["dish_renewal"]}, "each has two spins: take dish"),
    ],
)
def test_what_does_not_go_with_spin_orbit_coupling_is_told(picture, section, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        validate({**MOS2, "states": {"spin_orbit": picture}, section: options})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"code": "siesta"}, "known of OpenMX' .vps files alone, and pbe is of siesta"),
        ({"code": "openmx", "spin": "up"}, "it couples the channels, and pbe names one"),
    ],
)
def test_spin_orbit_coupling_needs_scalar_frames_of_openmx(source, said):
    material = {"structure": "mos2.vasp", "functionals": {"pbe": {"paths": ["dft"], **source}}}
    with pytest.raises(InputError, match=re.escape(said)):
        validate({**MOS2, "materials": {"MoS2": material}})
