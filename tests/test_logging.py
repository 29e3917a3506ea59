"""Modules log; only commands print."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "n2amd"
LIBRARY = [
    file
    for file in sorted(PACKAGE.rglob("*.py"))
    if file.parent.name != "commands" and file.name not in ("cli.py", "progress_terminal.py")
]


def test_library_modules_do_not_print() -> None:
    printing = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file in LIBRARY
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


@pytest.mark.parametrize(
    ("call", "line"),
    [("log.info('done')", "done\n"), ("log.warning('few')", "warning: few\n"), ("log.debug('x')", "")],
)
def test_commands_show_what_modules_log(call: str, line: str) -> None:
    program = (
        "import logging\nfrom n2amd.commands.log import show_log\nshow_log()\nshow_log()\n"
        f"log = logging.getLogger('n2amd.trajectory.md')\n{call}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", line)


def test_a_library_without_commands_is_silent_unless_something_is_wrong() -> None:
    program = "import logging\nlog = logging.getLogger('n2amd.restart')\nlog.info('x')\nlog.warning('few')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "few\n"
