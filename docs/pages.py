"""What the site has beside the pages of this folder: README, CONTRIBUTING, CHANGELOG and the API reference.

mkdocs calls the functions named `on_...`. Links in Markdown are written for the repository. They are rewritten here, so
that they work in both places.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "clear_ir"
#: Pages of the site that stand at the top of the repository.
TOP_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
#: Folders of the package that are no interface for programs.
WITHOUT_REFERENCE = {"cli"}


def stages() -> dict[str, list[str]]:
    """The public modules of each folder of the package, in the order of the alphabet."""
    modules_of = {}
    for folder in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        if folder.name not in WITHOUT_REFERENCE:
            modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
            modules_of[folder.name] = [f"clear_ir.{folder.name}.{module}" for module in modules]
    return modules_of


def public_names() -> list[str]:
    """Where each name of `clear_ir.__all__` is defined."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    homes = ast.literal_eval(values["_HOMES"])
    return [f"{homes[name]}.{name}" for name in ast.literal_eval(values["__all__"])]


def objects() -> dict[str, str]:
    """The full path of each public module, class, function and constant of the reference, by all its names.

    A short name has no entry if two modules define it, or if it could be a word or a column: `divergence`.
    """
    paths: dict[str, set[str]] = {}
    for module in [module for modules in stages().values() for module in modules]:
        paths[module] = {module}
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
        for node in tree.body:
            names = [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in names:
                paths[f"{module}.{name}"] = {f"{module}.{name}"}
                if "_" in name or name != name.lower():
                    paths.setdefault(name, set()).add(f"{module}.{name}")
    return {name: path.pop() for name, path in paths.items() if len(path) == 1}


def reference_pages() -> dict[str, str]:
    """Markdown of the API reference, by page."""
    pages = {"reference/index.md": "# API reference\n\nWhat `import clear_ir` gives:\n\n"}
    for path in public_names():
        pages["reference/index.md"] += f"- `{path}`\n"
    pages["reference/index.md"] += "\nThe folders of the package, each a stage:\n\n"
    for folder, modules in stages().items():
        title = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        summary = title.split("\n\n")[0]
        pages["reference/index.md"] += f"- [`clear_ir.{folder}`]({folder}.md): {summary}\n"
        page = "".join(f"::: {module}\n\n" for module in modules)
        pages[f"reference/{folder}.md"] = f"# clear_ir.{folder}\n\n{title}\n\n{page}"
    return pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the API reference in the navigation."""
    assert config.nav is not None
    for entry in config.nav:
        if "API reference" in entry:
            entry["API reference"] = ["reference/index.md", *({s: f"reference/{s}.md"} for s in stages())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that do not lie in this folder."""
    for source, page in TOP_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for page, text in reference_pages().items():
        files.append(File.generated(config, page, content=text))
    # Files of the repository that pages link to.
    for page in [*TOP_PAGES, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)", (ROOT / page).read_text(encoding="utf-8")):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
            if is_other_file(path) and files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def is_other_file(path: str) -> bool:
    """Whether a file of the repository is neither a page of the site nor in the API reference."""
    is_page = path in TOP_PAGES or path.startswith("docs/")
    return not is_page and place_in_reference(path) is None and (ROOT / path).is_file()


def place_in_reference(path: str) -> str | None:
    """The page and anchor of a module of the package."""
    module = path.removesuffix(".py").replace("/", ".")
    folder = next((folder for folder, modules in stages().items() if module in modules), None)
    return f"reference/{folder}.md#{module}" if folder else None


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links that leave their folder."""
    source = {page: source for source, page in TOP_PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if source.startswith("docs/reference/"):
        return markdown

    def rewritten(match: re.Match[str]) -> str:
        path, hash_sign, anchor = match[1].partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        target = TOP_PAGES.get(path) or place_in_reference(path) or path.removeprefix("docs/")
        return f"]({target}{hash_sign}{anchor})"

    # Not the links within a page, nor those to the web.
    return re.sub(r"\]\(([^)#:][^):]*)\)", rewritten, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Link each name in code type that the API reference has."""
    known = objects()

    def linked(match: re.Match[str]) -> str:
        path = known.get(match[1])
        return f'<autoref identifier="{path}" optional>{match[0]}</autoref>' if path else match[0]

    # Names inside of links, headings and listings stay as they are.
    parts = re.split(r"(<(a|h\d|pre|autoref)\b.*?</\2>)", html, flags=re.DOTALL)
    return "".join(
        part if i % 3 == 1 else re.sub(r"<code>([A-Za-z_][\w.]*)</code>", linked, part)
        for i, part in enumerate(parts)
        if i % 3 != 2
    )
