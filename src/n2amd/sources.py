"""Which modules of the package a command runs, and a hash of what they say.

A stage is to run again when the code behind it has changed. What is behind it follows from the import
statements, wherever they stand; what has changed is seen in the syntax tree, in which comments, docstrings
and layout do not appear. Imports for type checkers alone do not count, nor do modules that cannot change a
number (`NEUTRAL`); modules that are named in strings must be passed as roots of their own.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2amd.storage import atomic_path

#: Modules and folders that calculate nothing: what they decide is in a rule's parameters, or stops it.
NEUTRAL = (
    "checksums.py",
    "cli.py",
    "config/",
    "cost/",
    "errors.py",
    "leftovers.py",
    "paths.py",
    "progress.py",
    "provenance.py",
    "restart.py",
    "seals.py",
    "sources.py",
    "storage.py",
    "trust.py",
    "versions.py",
)
#: Folder of the commands: of one that another imports, only the imports at the top count.
COMMANDS = "commands"
#: Version of what is kept between calls: another one is ignored.
_KEPT = "3"


def _is_neutral(module: str) -> bool:
    return module in NEUTRAL or any(module.startswith(name) for name in NEUTRAL if name.endswith("/"))


@dataclass
class Sources:
    """The source files of a package.

    Attributes
    ----------
    package
        Folder of the package.
    kept
        File in which the imports and hashes of unchanged files are kept between calls; None: nowhere.
    """

    package: Path
    kept: Path | None = None
    _known: dict[str, list[Any]] = field(default_factory=dict, init=False)
    _closures: dict[tuple[str, ...], str] = field(default_factory=dict, init=False)
    _learned: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.kept is not None and self.kept.exists():
            try:
                stored = json.loads(self.kept.read_text())
                self._known = stored["files"] if stored["version"] == _KEPT else {}
            except (OSError, ValueError, KeyError, TypeError):
                self._known = {}  # it only saves time

    def digest(self, *roots: str) -> str:
        """Hash of all modules that the roots import, directly or not, themselves included.

        Parameters
        ----------
        roots
            Paths inside the package: a file, a folder (all its files), or `FILE:FUNCTION`, which stands for
            all that a function of a command needs, the function itself apart.

        Examples
        --------
        >>> Sources(Path("src/n2amd")).digest("commands/states.py:solve")  # doctest: +SKIP
        '5f0c7a...'
        """
        key = tuple(sorted(roots))
        if key not in self._closures:
            found = hashlib.sha256()
            for module in sorted(self.closure(roots)):
                found.update(f"{module} {self._facts(module)[1]}\\n".encode())
            self._closures[key] = found.hexdigest()[:16]
        return self._closures[key]

    def closure(self, roots: Iterable[str]) -> set[str]:
        """Modules that the roots import, directly or not, as paths inside the package."""
        todo = [module for root in roots for module in self._modules_of(root)]
        found: set[str] = set()
        while todo:
            module = todo.pop()
            if module not in found and not _is_neutral(module):
                found.add(module)
                todo += self._facts(module)[0]
        return found

    def keep(self) -> None:
        """Write what was learned of the files, so that the next call needs not read them."""
        if self.kept is None or not self._learned:
            return
        with atomic_path(self.kept) as part:
            part.write_text(json.dumps({"version": _KEPT, "files": self._known}))

    def _modules_of(self, root: str) -> list[str]:
        name, _, function = root.partition(":")
        path = self.package / name
        if path.is_dir():
            return [str(f.relative_to(self.package)) for f in sorted(path.glob("*.py"))]
        if not function:
            return [name]
        stamp = self._stamp(name)
        known = self._known.get(root)
        if known is None or known[0] != stamp:
            imports = self._imports(_function(ast.parse(path.read_bytes()), function), name)
            known = self._known[root] = [stamp, imports]
            self._learned = True
        return list(known[1])

    def _stamp(self, module: str) -> list[int]:
        """What changes when a file is written."""
        stat = os.stat(self.package / module)
        return [stat.st_mtime_ns, stat.st_size]

    def _facts(self, module: str) -> tuple[list[str], str]:
        """Modules that a module imports, and the hash of its syntax tree."""
        stamp = self._stamp(module)
        known = self._known.get(module)
        if known is None or known[0] != stamp:
            tree = ast.parse((self.package / module).read_bytes())
            of_commands = module.startswith(f"{COMMANDS}/")
            imports = self._imports(_top(tree) if of_commands else tree, module)
            content = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()
            known = self._known[module] = [stamp, imports, content]
            self._learned = True
        return known[1], known[2]

    def _imports(self, tree: ast.AST, module: str) -> list[str]:
        """Modules of the package that are imported anywhere in a tree, with the packages they lie in."""
        found: set[str] = set()
        for name in _imported_names(tree):
            found |= self._files_of(name)
        found.discard(module)
        return sorted(found)

    def _files_of(self, name: str) -> set[str]:
        """Files that importing a dotted name runs; of `package.module.thing` those of the module."""
        first, *parts = name.split(".")
        if first != self.package.name:
            return set()
        files, folder = {"__init__.py"}, Path()
        for part in parts:
            folder /= part
            if (self.package / folder).with_suffix(".py").is_file():
                files.add(str(folder.with_suffix(".py")))
                break
            if not (self.package / folder / "__init__.py").is_file():
                break
            files.add(str(folder / "__init__.py"))
        return {file for file in files if (self.package / file).is_file()}


def digest_of_program(*roots: str) -> str:
    """Hash of this program's code behind some roots: part of the identity of what is kept between runs."""
    return Sources(Path(__file__).parent).digest(*roots)


def _top(tree: ast.Module) -> ast.Module:
    """The import statements at the top of a file."""
    return ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def _function(tree: ast.Module, name: str) -> ast.Module:
    """The import statements at the top of a file, a function, and what that uses of the same file."""
    defined: dict[str, ast.stmt] = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    if name not in defined:
        raise LookupError(f"no function {name}")
    used: dict[str, ast.stmt] = {}
    todo = [name]
    while todo:
        new = todo.pop()
        if new in defined and new not in used:
            used[new] = defined[new]
            todo += [node.id for node in ast.walk(defined[new]) if isinstance(node, ast.Name)]
    return ast.Module([*_top(tree).body, *used.values()], [])


def _imported_names(tree: ast.AST) -> Iterator[str]:
    """Dotted names that are imported at run time."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        for statement in tree.orelse:
            yield from _imported_names(statement)
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from _imported_names(child)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Drop the docstrings of a module, its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree
