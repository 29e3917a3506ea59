"""Optional programs: their markers, the reasons of skipped tests, and their data out of sight."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from n2amd.commands.log import show_log
from optional_programs import OPTIONAL, missing

#: Every test that needs an optional program carries it too: `pytest -m optional`.
ANY = "optional"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{ANY}: needs one of the optional programs (set by itself)")
    for program in OPTIONAL:
        config.addinivalue_line("markers", f"{program.marker}: needs an optional program ({program.remedy})")


# before -m chooses
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    markers = [program.marker for program in OPTIONAL]
    for item in items:
        needed = [marker for marker in markers if item.get_closest_marker(marker)]
        if needed:
            item.add_marker(ANY)
        for reason in filter(None, map(missing, needed)):
            item.add_marker(pytest.mark.skip(reason=reason))


def _hide(patch: pytest.MonkeyPatch) -> None:
    patch.delenv("CP2K_DATA_DIR", raising=False)
    patch.setattr("n2amd.dft.cp2k.radial.DATA_FOLDERS", ())


@pytest.fixture(autouse=True, scope="session")
def _records_of_made_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test makes is known to it, and to nobody after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("N2AMD_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _log_is_shown() -> None:
    """What modules log is on the error output, as in a command."""
    show_log()


@pytest.fixture(autouse=True, scope="session")
def _data_of_programs_are_hidden() -> Iterator[pytest.MonkeyPatch]:
    """What a test finds does not depend on what else is installed, such as basis files of CP2K."""
    with pytest.MonkeyPatch.context() as patch:
        _hide(patch)
        yield patch


@pytest.fixture(scope="module")
def data_of_programs(_data_of_programs_are_hidden: pytest.MonkeyPatch) -> Iterator[None]:
    """Show them again to the tests of a module that run the program."""
    _data_of_programs_are_hidden.undo()
    yield
    _hide(_data_of_programs_are_hidden)
