#!/usr/bin/env bash
# Workers of one study as an array job of Slurm, each with a GPU of its own:
#
#     sbatch --array=0-15 slurm.sh postgresql://me@db.example/nas photos --data /mnt/photos
#
# A job that ends early, by its time limit or with its node, costs the trial that it was at. Passwords are in ~/.pgpass.
#SBATCH --job-name=nas-worker
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --gres=gpu:1
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --output=nas-%A_%a.out
set -euo pipefail
storage=$1 study=$2
shift 2
exec nas worker "$storage" --study "$study" --run "runs/$study-$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID" "$@"
