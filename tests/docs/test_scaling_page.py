"""What docs/scaling.md offers to be copied: launch files of the right form, commands that parse."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from rondeau.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("scaling.md", "scaling/slurm.sbatch", "scaling/kubernetes.yaml")


def launches(page):
    """The torchrun commands of a page, in words; what the shell puts in is a 1."""
    text = (DOCS / page).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^[^#\n]*\btorchrun +(-.*)", text, re.MULTILINE)
    return [shlex.split(re.sub(r"\$\(.*?\)|\$\w+", "1", line)) for line in lines]


@pytest.mark.parametrize("page", PAGES)
def test_every_launch_is_one_that_torchrun_and_rondeau_understand(page):
    found = launches(page)
    assert found
    for words in found:
        options = get_args_parser().parse_args(words)
        assert options.module
        assert options.training_script == "rondeau"
        command, bound, _ = app.parse_args(
            options.training_script_args, exit_on_error=False, print_error=False
        )
        assert command.__name__ == "train"
        assert "out" in bound.arguments


def test_the_file_for_slurm_is_a_script():
    subprocess.run(["bash", "-n", DOCS / "scaling/slurm.sbatch"], check=True)


def test_the_file_for_kubernetes_is_a_service_and_a_job_that_find_each_other():
    text = (DOCS / "scaling/kubernetes.yaml").read_text(encoding="utf-8")
    service, job = yaml.safe_load_all(text)
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["spec"]["completionMode"] == "Indexed"
    pods = job["spec"]["template"]["spec"]
    assert pods["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 4
    (container,) = pods["containers"]
    (words,) = launches("scaling/kubernetes.yaml")
    options = get_args_parser().parse_args(words)
    assert int(options.nnodes) == job["spec"]["completions"]
    assert int(options.nproc_per_node) == container["resources"]["limits"]["nvidia.com/gpu"]
    first = f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert options.rdzv_endpoint.startswith(f"{first}:")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pods["volumes"]}
