"""The public surface, and what must hold of the whole tree."""

import subprocess
import sys
from pathlib import Path

import pytest

import rondeau

SOURCE = Path(rondeau.__file__).parent


def test_the_public_names_are_these():
    assert rondeau.__all__ == [
        "DecodingConfig", "LanguageModel", "Model", "ModelConfig", "RondeauError", "Stack",
        "TrainConfig", "Training", "resume", "train", "unroll", "cells", "load",
    ]  # fmt: skip
    for name in rondeau.__all__:
        assert getattr(rondeau, name) is not None


@pytest.mark.parametrize("verb", ["train", "tune"])
def test_help_imports_no_torch_and_no_extra(verb):
    code = (
        "import sys\nfrom rondeau.cli import main\n"
        f"try:\n    main(['{verb}', '--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'optuna'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.returncode == 0
    assert b"--hidden" in result.stdout
