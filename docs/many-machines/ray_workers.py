"""Workers of one study as tasks of Ray, which places them on the devices of a cluster.

    python ray_workers.py --workers 16 --gpus 1 -- postgresql://me@db.example/nas --study photos --data /mnt/photos

What stands after `--` goes to `nas worker`. Ray shows each task the GPUs that it has been given, and starts a task
again whose node has died. Passwords are in ~/.pgpass of the nodes.
"""

import argparse
import subprocess

import ray


@ray.remote(max_retries=-1)
def work(arguments: list[str]) -> int:
    """Returns the exit status of a worker, 0 once the search is over."""
    return subprocess.run(["nas", "worker", *arguments], check=False).returncode


def main() -> None:
    """Begins the workers, and waits until all have ended."""
    parser = argparse.ArgumentParser(description="Places workers of a study on the devices of a Ray cluster.")
    parser.add_argument("--address", help="of the cluster; by default a running one, or this machine")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--cpus", type=float, default=1)
    parser.add_argument("--gpus", type=float, default=0, help="of each worker; 0.5 lets two share one")
    parser.add_argument("arguments", nargs="+", help="of `nas worker`, after --")
    given = parser.parse_args()
    ray.init(address=given.address)
    placed = work.options(num_cpus=given.cpus, num_gpus=given.gpus)
    statuses = ray.get([placed.remote(given.arguments) for _ in range(given.workers)])
    raise SystemExit(max(statuses))


if __name__ == "__main__":
    main()
