from __future__ import annotations

import pytest

from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.network.plan import choose_plan

WITH = Ingredients("siesta", "PBE", 200.0, 13.6, 0.529)


@pytest.mark.parametrize(
    ("ingredients", "lacking", "kind"),
    [
        (WITH, None, "density"),
        (WITH, "the functional is HSE06, H0 is that of PBE", "atoms+pair"),
        (None, "there is no .ion.xml file", "pair"),
    ],
)
def test_the_best_that_the_data_allow(ingredients, lacking, kind):
    plan = choose_plan("auto", ingredients, "pbe", lacking)
    assert plan.kind == kind
    assert lacking is None or plan.reason == lacking


def test_what_is_asked_for_is_made():
    for kind in ("density", "density+pair", "atoms+pair", "pair"):
        plan = choose_plan(kind, WITH, "pbe", None)
        assert (plan.zeroth, plan.density, plan.pair) == (
            kind != "pair",
            "density" in kind,
            kind.endswith("pair"),
        )


@pytest.mark.parametrize("kind", ["density", "density+pair", "atoms+pair"])
def test_h0_without_ingredients_is_refused(kind):
    with pytest.raises(InputError, match=r"no \.vps file"):
        choose_plan(kind, None, "pbe", "there is no .vps file")


def test_a_density_alone_cannot_be_a_hybrid():
    with pytest.raises(InputError, match="HSE06"):
        choose_plan("density", WITH, "hse06", "the functional is HSE06")
