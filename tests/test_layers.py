"""The layers of the architecture, the public names, and a quick --help."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clear_ir

PACKAGE = Path(clear_ir.__file__).parent
LAYERS = {
    "files": 0,
    "objective": 0,
    "packing": 0,
    "dropout": 0,
    "token_budget": 0,
    "term_means": 0,
    "columns": 1,
    "training_settings": 1,
    "mining_settings": 1,
    "rows": 1,
    "collection": 1,
    "losses": 2,
    "cached_losses": 3,
    "encoding": 2,
    "search": 2,
    "figures": 0,
    "batching": 2,
    "training_data": 2,
    "training_arguments": 2,
    "distillation": 3,
    "step_bar": 2,
    "datasets": 2,
    "negatives": 2,
    "mining": 3,
    "directions": 0,
    "embedding_cache": 1,
    "space": 2,
    "measures": 3,
    "results": 4,
    "evaluation": 5,
    "resampling": 5,
    "mteb_tasks": 1,
    "mteb_bridge": 8,
    "term_log": 3,
    "dev_evaluator": 6,
    "training": 7,
    "comparison": 6,
    "heatmap": 6,
    "query_changes": 6,
    "tables": 7,
    "report": 8,
    "recipe": 8,
    "quickstart": 9,
    "merging": 7,
    "cli_prepare": 9,
    "cli_merge": 10,
    "cli": 11,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("clear_ir."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", [p for p in MODULES if p != PACKAGE / "__init__.py"], ids=lambda p: p.stem)
def test_imports_go_downwards_only(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in imported(path):
        if other != name:
            assert LAYERS[other] < LAYERS[name], f"{name} imports {other}"


def test_objective_imports_torch_alone_beside_the_standard_library():
    names = [
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse((PACKAGE / "objective.py").read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert {name.split(".")[0] for name in names} <= {
        "__future__",
        "collections",
        "dataclasses",
        "math",
        "typing",
        "torch",
    }


def test_public_names():
    names = "CLEARLoss CachedCLEARLoss CrossLingualEvaluator fast_dropout log_terms read_collection"
    assert clear_ir.__all__ == names.split()
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
        "from clear_ir.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'matplotlib', 'pandas', 'numpy', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout
