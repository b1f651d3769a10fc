"""The layers of the architecture, the public names, and a quick --help."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clear_ir

PACKAGE = Path(clear_ir.__file__).parent
#: From the top down: a folder, or a module of the package, imports only from those that stand after it.
HOUSE = """
cli quickstart recipes serve merge report compare train align evaluate mine translate prepare encode loss data
""".split()
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """The folder of each import from the package, and the names that it takes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "clear_ir":
            names = [alias.name for alias in node.names]
            # clear_ir itself is above no folder: it holds the version.
            folders = (
                [n for n in names if n != "__version__"] if node.module == "clear_ir" else [node.module.split(".")[1]]
            )
            for folder in folders:
                yield folder, names


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.parent != PACKAGE or p.stem in HOUSE], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_fall(path):
    folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other, names in imported(path):
        if other != folder:
            assert HOUSE.index(folder) < HOUSE.index(other), f"{folder} imports {other}"
            assert not [name for name in names if name.startswith("_")], f"{path} takes a private name of {other}"


def test_contributing_lists_the_house_from_the_top_down():
    lines = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").split("clear_ir/\n")[1].splitlines()
    rooms = [line.split()[0].removesuffix("/").removesuffix(".py") for line in lines if line.startswith("      ")]
    assert rooms == HOUSE


def test_the_house_has_no_other_rooms():
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert rooms | {"quickstart"} == set(HOUSE)


@pytest.mark.parametrize("path", sorted((PACKAGE / "loss").glob("*.py")), ids=lambda p: p.stem)
def test_the_loss_can_be_lifted_out(path):
    """Beside the standard library it needs torch, alone or with sentence-transformers and what that brings along."""
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    others = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    others = {name for name in others if not f"{name}.".startswith("clear_ir.loss.")}
    allowed = {"torch"} if path.stem == "terms" else {"torch", "sentence_transformers", "transformers", "tqdm"}
    assert {name.split(".")[0] for name in others} <= allowed


def test_public_names():
    names = "CLEARLoss CachedCLEARLoss CrossLingualEvaluator columns_of exported_backends fast_dropout log_terms"
    assert clear_ir.__all__ == [*names.split(), "read_collection", "training_arguments", "used_vocabulary"]
    assert all(getattr(clear_ir, name).__doc__ for name in clear_ir.__all__)
    with pytest.raises(AttributeError):
        _ = clear_ir.nothing


def test_everything_public_has_a_docstring():
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['clear-ir', '--help']\n"
        "from clear_ir.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'matplotlib', 'pandas', 'numpy', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout


def test_no_ten_lines_stand_twice():
    """Imports, blank lines and lone brackets do not count."""
    places = {}
    for path in MODULES:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if len(line) > 3 and not line.startswith(("import ", "from "))]
        for i in range(len(lines) - 9):
            places.setdefault(tuple(lines[i : i + 10]), []).append(f"{path.relative_to(PACKAGE)}: {lines[i]}")
    assert not [found for found in places.values() if len(found) > 1]
