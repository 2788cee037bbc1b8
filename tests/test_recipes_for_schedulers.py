"""The files of docs/many-machines: parsed by what reads them, or run where that takes no cluster."""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nas.cli.worker import join_search

RECIPES = Path(__file__).parents[1] / "docs/many-machines"
STORAGE = "postgresql://me@db.example/nas"
FAKE_NAS = """#!{python}
import json, os, sys
with open("{folder}/calls", "a") as file:
    file.write(json.dumps([os.environ["SLURM_ARRAY_TASK_ID"], *sys.argv[1:]]) + "\\n")
"""
SBATCH = r"""#!/usr/bin/env bash
# Runs the tasks of an array side by side, as Slurm does on so many nodes
set -euo pipefail
script=$1; shift
array=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\)$/\1/p' "$script")
for task in $(seq 0 "${LAST:-$array}"); do
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task bash "$script" "$@" &
    tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task"; done
"""
JOB = {  # the fields of batch/v1 that the manifest has, as the reference of Kubernetes 1.30 names them
    "": {"apiVersion", "kind", "metadata", "spec"},
    "metadata": {"name", "generateName", "namespace", "labels", "annotations"},
    "spec": {"activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions",
             "parallelism", "podFailurePolicy", "podReplacementPolicy", "suspend", "template",
             "ttlSecondsAfterFinished"},
    "spec.template": {"metadata", "spec"},
    "spec.template.spec": {"containers", "initContainers", "nodeSelector", "restartPolicy", "serviceAccountName",
                           "terminationGracePeriodSeconds", "tolerations", "volumes"},
}
CONTAINER = {"args", "command", "env", "envFrom", "image", "imagePullPolicy", "name", "resources", "volumeMounts",
             "workingDir"}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Runs the script of Slurm's recipe in a directory: `slurm(*arguments)`."""
    for name, content in (("sbatch", SBATCH), ("nas", FAKE_NAS.format(python=sys.executable, folder=tmp_path))):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    return lambda *arguments: subprocess.run(["sbatch", RECIPES / "slurm.sh", *arguments], cwd=tmp_path, check=True,
                                             timeout=300)


def test_every_task_of_slurms_array_is_a_worker_with_a_directory_of_its_own(slurm, tmp_path):
    slurm(STORAGE, "photos", "--data", "/mnt/my photos")
    calls = sorted(map(json.loads, (tmp_path / "calls").read_text().splitlines()))
    assert calls == [[str(task), "worker", STORAGE, "--study", "photos", "--run", f"runs/photos-7-{task}", "--data",
                      "/mnt/my photos"] for task in range(8)]


def test_the_manifest_has_only_fields_that_a_job_has():
    job = yaml.safe_load((RECIPES / "kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    for path, fields in JOB.items():
        part = job
        for name in filter(None, path.split(".")):
            part = part[name]
        assert part.keys() <= fields, path
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container.keys() <= CONTAINER
    assert pod["restartPolicy"] in ("OnFailure", "Never")  # others are none of a Job
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = (RECIPES / "nas-worker@.service").read_text()
    assert "/opt/paretonas/bin/nas " in unit
    (tmp_path / "nas-worker@photos.service").write_text(unit.replace("/opt/paretonas/bin/nas", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / "nas-worker@photos.service"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(path.name for path in RECIPES.iterdir()))
def test_a_recipe_gives_a_worker_options_that_it_has(name):
    text = (RECIPES / name).read_text()
    calls = re.findall(r'(?:nas worker|"nas", "worker",|slurm\.sh|-- postgresql)(.*(?:\n +"--.*)?)', text)
    used = {option for call in calls for option in re.findall(r"--([a-z]+)", call)}
    assert "study" in used
    assert used <= inspect.signature(join_search).parameters.keys()


@pytest.fixture
def begun(postgresql, tmp_path, monkeypatch):
    """The storage of a search for 60 networks of a table that was interrupted after the first."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    url = postgresql.new_database()
    search = subprocess.Popen(
        ["nas", "search", "--data", "table:learning-curves", "--objectives", "accuracy,macs", "--trials", "60",
         "--storage", url, "--study", "curves", "--run", tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    for line in search.stdout:
        if line.startswith("trial"):
            break
    search.send_signal(signal.SIGINT)
    search.communicate(timeout=60)
    return url


def trained(url):
    from nas.run.server import StudyDatabase
    from nas.trials.record import candidate_of

    found = [candidate_of(trial) for trial in StudyDatabase(url, "curves").opened().get_trials()]
    return sum(candidate.outcome == "trained" for candidate in found), len({candidate.worker for candidate in found})


@pytest.mark.slow
def test_an_array_of_slurm_ends_a_search(begun, slurm, tmp_path, monkeypatch):
    (tmp_path / "nas").unlink()  # the real one
    monkeypatch.setenv("LAST", "1")
    slurm(begun, "curves")
    assert trained(begun) == (60, 3)


@pytest.mark.slow
def test_tasks_of_ray_end_a_search(begun, tmp_path):
    pytest.importorskip("ray")
    subprocess.run([sys.executable, RECIPES / "ray_workers.py", "--workers", "2", "--cpus", "0.5", "--", begun,
                    "--study", "curves"], cwd=tmp_path, check=True, timeout=300)
    assert trained(begun)[0] == 60
