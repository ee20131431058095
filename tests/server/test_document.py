"""The OpenAPI document is what the server does: schemathesis finds nothing to say against it."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondeau.server.app import below


@pytest.mark.parametrize("phases", ["coverage", "fuzzing,stateful"])
def test_schemathesis_finds_nothing(served, phases, tmp_path):
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
        f"{served[1]}/openapi.json", "--phases", phases, "--max-examples", "8", "--seed", "1",
        "--no-color", "--request-timeout", "60", "--continue-on-failure",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    told = [line[:200] for line in result.stdout.splitlines()]
    assert result.returncode == 0, "\n".join(told)


def test_every_error_status_is_declared_in_its_form(served, api):
    document = api.get("/openapi.json").json()
    assert "422" not in str({r for p in document["paths"].values() for o in p.values()
                             for r in o["responses"]})  # fmt: skip
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            wanted = {"401", "405", "500"} | ({"400", "413", "415"} if method == "post" else set())
            assert wanted <= operation["responses"].keys(), (method, path)
            for status, response in operation["responses"].items():
                if status != "200":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema["$ref"].endswith("/ErrorBody")


@given(st.integers(2, 3000), st.integers(0, 4000))
def test_an_expression_matches_the_numbers_below_a_count(count, number):
    assert bool(re.fullmatch(below(count), str(number))) == (number < count)
    assert not re.fullmatch(below(count), f"0{number}")
