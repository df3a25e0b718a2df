#!/bin/bash
# Four machines of eight accelerators: sbatch recipes/slurm.sh my.yaml runs/mine
# Two minutes before the end of its time the run saves, and the job goes back into the queue.
#SBATCH --job-name=mooer
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
set -euo pipefail

recipe=$1 out=$2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node 8 \
    --rdzv-backend c10d --rdzv-endpoint "$first:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m mooer.cli.main train "$recipe" --out "$out" --parallel.strategy fsdp --resume &
run=$!
trap 'kill -TERM "$run"; wait "$run" || true; scontrol requeue "$SLURM_JOB_ID"; exit 0' USR1
wait "$run"
