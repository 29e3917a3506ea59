"""Files that can run code when they are loaded: only those that this program made here, or the user trusts.

A packaged force field holds Python code, a compiled one machine code, a checkpoint of its training a pickle.
A hash inside such a file says that it is whole, not whom it is from. So the hash of each that is made is kept
apart from it, in a folder of the user: `$N2AMD_STATE_DIR`, else `$XDG_STATE_HOME/n2amd`, else
`~/.local/state/n2amd`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from pathlib import Path

from n2amd.errors import InputError
from n2amd.storage import atomic_path

log = logging.getLogger(__name__)

FOLDER = "N2AMD_STATE_DIR"
_MARK = "maker"
#: Hashes that this process made or was told to trust.
_known_here: set[str] = set()


def remember(path: str | Path, name: str | Path | None = None) -> None:
    """Keep the hash of a file that this program has just made, or that the user trusts for good.

    Parameters
    ----------
    path
        The file.
    name
        What it will be called; default: `path`.
    """
    _keep(_hash(path), str(Path(name or path).absolute()))


def accept(path: str | Path) -> None:
    """Trust a file as it is now until this process ends."""
    _known_here.add(_hash(path))


def require_known(path: str | Path) -> None:
    """Refuse a file that holds code and was neither made here nor trusted.

    Raises
    ------
    InputError
        Saying how to trust it.
    """
    if not _is_known(_hash(path)):
        raise InputError(
            "holds code that would run, and is no file that n2amd made here",
            file=path,
            remedy="if you know whom it is from, run `n2amd forcefield trust` on it once, or pass --trust",
        )


def own_folder(folder: Path) -> bool:
    """Whether a folder of checkpoints was begun here; one that was not, is from now on.

    The caller removes what a foreign folder holds: checkpoints are pickles.
    """
    mark = folder / _MARK
    if mark.is_file() and _is_known(_hash(mark)):
        return True
    with atomic_path(mark) as part:
        part.write_text(secrets.token_hex(32))
    _keep(_hash(mark), str(folder.absolute()))
    return False


def _keep(content: str, name: str) -> None:
    _known_here.add(content)
    record = _folder() / content
    try:
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        record.write_text(f"{name}\n")
    except OSError as error:
        log.warning(
            "%s cannot be written (%s): %s will not be known as made here; set %s to a folder of yours",
            record.parent,
            error.strerror,
            name,
            FOLDER,
        )


def _is_known(content: str) -> bool:
    return content in _known_here or (_folder() / content).is_file()


def _folder() -> Path:
    """Folder of the records; each is named by a hash."""
    if given := os.environ.get(FOLDER):
        return Path(given) / "made"
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state) / "n2amd" / "made"


def _hash(path: str | Path) -> str:
    """Hash of all bytes of a file, not of what it says of itself."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, remedy="pass a file that exists and may be read"
        ) from error
