"""The pages: links lead somewhere, the menu is whole, quoted errors exist, rules name their environments."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Anchors as Python-Markdown makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", ""))
        found.add(re.sub(r"[-\s]+", "-", plain.strip().lower()))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(without_code(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def menu() -> dict:
    class Loader(yaml.SafeLoader):
        """Takes tags of mkdocs as plain values."""

    return yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)


def pages_of(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in pages_of(child)]


def test_the_menu_holds_every_page_once() -> None:
    assert sorted(pages_of(menu()["nav"])) == sorted(str(page.relative_to(DOCS)) for page in PAGES[:-1])


def test_the_site_is_strict_about_links() -> None:
    assert set(menu()["validation"].values()) == {"warn"}
    assert "mkdocs build --strict" in (ROOT / "Makefile").read_text()
    assert "make docs" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("page", sorted(DOCS.glob("api/*.md")), ids=lambda page: page.stem)
def test_python_pages_name_what_there_is(page: Path) -> None:
    for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        described = getattr(importlib.import_module(module), attribute)
        assert described.__doc__, name


def texts_of_the_program() -> str:
    """All string constants of the package, the parts of f-strings joined by a mark."""
    found = []
    for file in [*sorted((ROOT / "src/n2amd").rglob("*.py")), ROOT / "workflow/rules/common.smk"]:
        source = file.read_text()
        if file.suffix == ".smk":
            found += re.findall(r'"([^"\n]+)"', source)
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "\0" for v in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[-.\w]*[sdfg]", "\0", node.value))
    return "\n".join(found)


def quoted_sentences() -> list[str]:
    rows = re.findall(r"^\| (.*?) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    return [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]


def test_sentences_of_the_troubleshooting_page_are_those_of_the_program() -> None:
    texts = texts_of_the_program()
    sentences = [q for q in quoted_sentences() if " " in q.strip()]
    assert len(sentences) > 40
    lost = []
    for sentence in sentences:
        pattern = r"[^\n]*".join(re.escape(part.strip()) for part in sentence.split("..."))
        if not re.search(pattern, texts):
            lost.append(sentence)
    assert lost == []


def test_every_rule_can_be_deployed() -> None:
    """Conda environments stand in each rule (or its parent's), one image for all in the Snakefile."""
    assert re.search(r'^container: "n2amd\.sif"$', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^\s*rule(?: \w+)?:\n", file.read_text(), flags=re.MULTILINE)[1:]:
            (environment,) = set(re.findall(r'^\s*conda:\s*"([^"]+)"', rule, re.MULTILINE))
            assert (file.parent / environment).is_file(), f"{file.name}: {environment}"


@pytest.mark.parametrize("name", ["learning", "dynamics"])
def test_conda_environments_hold_what_the_package_needs(name: str) -> None:
    """Names and lower bounds agree with pyproject.toml."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {r.name: r.specifier for r in map(Requirement, project)}
    same = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
    listed = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    flat = [entry for item in listed for entry in (item["pip"] if isinstance(item, dict) else [item])]
    for entry in flat:
        requirement = Requirement(entry)
        known = wanted.get(same.get(requirement.name, requirement.name))
        assert known is None or not requirement.specifier or requirement.specifier == known, entry
    if name == "learning":
        names = {same.get(Requirement(e).name, Requirement(e).name) for e in flat}
        not_needed = {"snakemake", "snakemake-executor-plugin-slurm", "mpi4py"}
        assert set(wanted) - names <= not_needed


def test_the_image_is_made_of_the_lock_file() -> None:
    definition = (ROOT / "envs/n2amd.def").read_text()
    assert "make setup" in definition
    assert "requirements.txt" in (ROOT / "envs/install.sh").read_text()
