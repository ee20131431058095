"""No code of a file's is ever run: the sources don't call what could."""

import ast
from pathlib import Path

import pytest

import rondeau

SOURCES = sorted(Path(rondeau.__file__).parent.rglob("*.py"))
RUNS_CODE = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
"""Modules that run what a file says."""


def offences(source: str) -> list[str]:
    """What of a source could run code that isn't its own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.partition(".")[0] in RUNS_CODE]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in RUNS_CODE:
                found.append(node.module)
            if node.module == "torch" and any(a.name == "load" for a in node.names):
                found.append("from torch import load")
        elif isinstance(node, ast.Call):
            called, keywords = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
            if called in ("eval", "exec", "compile", "builtins.eval", "builtins.exec"):
                found.append(called)
            if called == "torch.load" and ast.unparse(keywords.get("weights_only", node)) != "True":
                found.append(called)
            if called in ("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"):
                found.append(called)
            if "allow_pickle" in keywords:
                found.append(f"{called}(allow_pickle)")
    return found


def test_no_source_runs_code_of_a_file():
    found = {str(path): offences(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(found) > 50
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import dill.session",
        "from marshal import loads",
        "from torch import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "torch.load(file, weights_only=trusted)",
        "eval(text)",
        "exec(text)",
        "np.load(file, allow_pickle=True)",
        "torch.hub.load(name)",
    ],
)
def test_the_search_finds(source):
    assert offences(source)


def test_evaluation_mode_and_weights_alone_are_no_offence():
    assert offences("model.eval()\ntorch.load(file, weights_only=True)\nre.compile(text)") == []
