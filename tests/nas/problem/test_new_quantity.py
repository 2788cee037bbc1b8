"""A new quantity is an entry, a field of the costs, and what measures it: shown by adding one to a copy."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
ADDED = {  # file -> a text of it, and that with the addition
    "nas/problem/quantities.py": (
        '    "size": Quantity(',
        '    "energy": Quantity("energy_nj", _COUNT, "a budget", "energy", "nanojoules"),\n    "size": Quantity('),
    "nas/problem/costs.py": ("    size_bytes: int | None = None\n", "    size_bytes: int | None = None\n"
                             "    energy_nj: int | None = None\n"),
    "nas/measuring/meters.py": ("Costs(macs=architecture.macs,", "Costs(macs=architecture.macs, "
                                "energy_nj=3 * architecture.macs + 100 * architecture.params,"),
}
SCRIPT = '''
import json, sys
from rich.console import Console
import nas.api
from evaluators.latency import Latency
from nas.engine.setting import setting_of
from nas.export.certificate import open_budgets
from nas.measuring.survey import survey
from nas.report.records import rows
from nas.report.space import survey_table
from nas.report.table import front_report

class Gauge:
    def size_bytes(self, architecture):
        return 4 * architecture.params
    def latency(self, architecture, precision):
        return Latency.exact(architecture.macs / 1e6)

def score(architecture, data, fidelity):
    return architecture.params % 1000 / 1000

inputs, limit = sys.argv[1:]
config = nas.SearchConfig(space=f"{inputs}/space.toml", data=f"{inputs}/data.npz", evaluator="script:score", trials=3,
                          energy_nj=int(limit), strategy="random")
if __name__ == "__main__":
    nas.search(config, "run", gauge=Gauge())
    again = nas.api.Run.open("run")
    console = Console(width=120)
    console.print(front_report(again.candidates(), again.budgets))
    console.print(survey_table(survey(setting_of(config).space, {"onnxruntime": Gauge()}, 0, 20)))
    print(json.dumps({"rows": rows(again.candidates()), "budgets": str(again.budgets),
                      "certificate": open_budgets(again.budgets)}))
'''


def test_a_new_quantity_takes_three_files(inputs, all_members, tmp_path):
    for package in ("search_spaces", "evaluators", "nas"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, after) in ADDED.items():
        text = (tmp_path / name).read_text()
        assert text.count(before) == 1
        (tmp_path / name).write_text(text.replace(before, after))
    (tmp_path / "script.py").write_text(SCRIPT)

    def run(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    energies = sorted(3 * member.macs + 100 * member.params for member in all_members.values())
    limit = energies[len(energies) // 2]
    out = run("script.py", inputs, str(limit))
    found = json.loads(out.splitlines()[-1])
    for row in found["rows"]:
        assert row["energy_nj"] == 3 * row["macs"] + 100 * row["params"]
        assert row["feasible"] == (row["energy_nj"] <= limit)
    assert any(row["feasible"] for row in found["rows"])
    assert found["budgets"].startswith("energy ")
    assert found["certificate"] == {"energy": {"quantity": "energy", "limit": limit, "unit": "nanojoules"}}
    assert out.count("energy") >= 2  # a column of the front, a line of the space
    for command in ("search", "space", "export", "train"):
        assert "--energy" in run("-m", "nas.cli", command, "--help-all")
    stored = (tmp_path / "run" / "run.toml").read_text()
    assert f"energy_nj = {limit}\n" in stored
