#!/usr/bin/env bash
#SBATCH --job-name=clear-ir
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
# prepare -> mine -> train -> evaluate on the machines of a Slurm job, which all see the folder OUT:
#     sbatch --export=ALL,ROWS=/shared/faq.csv,MODEL=BAAI/bge-m3,OUT=/shared/run slurm.sh [flags of clear-ir train]
# MODEL must be in the cache of the hub, or a folder that all machines see.
set -euo pipefail
export OUT MODEL ROWS
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=${RAY_PORT:-6379}
export head port RAY_ADDRESS="$head:$port" RAY_USAGE_STATS_ENABLED=0
# Only this job can use its Ray.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token

# Encoding: one Ray for the whole job, the head on the first machine.
srun --overlap bash -c '
    if [ "$SLURM_NODEID" = 0 ]; then
        exec ray start --block --head --port "$port" --include-dashboard false
    else
        until : 2> /dev/null > "/dev/tcp/$head/$port"; do sleep 1; done
        exec ray start --block --address "$RAY_ADDRESS"
    fi' > "ray-$SLURM_JOB_ID.log" 2>&1 &
workers=$!
trap 'kill "$workers"; wait "$workers" || true' EXIT
until : 2> /dev/null > "/dev/tcp/$head/$port"; do
    kill -0 "$workers" # or Ray could not start: the log says why
    sleep 1
done

clear-ir prepare rows --rows "$ROWS" --out "$OUT/data"
clear-ir mine --ray --model "$MODEL" --rows "$OUT/data/rows.jsonl" --out "$OUT/train.jsonl"

# Training: one torchrun on each machine, with as many processes as it has GPUs. Ray's workers are gone with the
# command that used them, so the GPUs are free.
srun --overlap bash -c 'exec torchrun --nnodes "$SLURM_JOB_NUM_NODES" --node-rank "$SLURM_NODEID" \
    --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --master-addr "$head" --master-port "${TRAIN_PORT:-29500}" \
    --no-python clear-ir train --model "$MODEL" --rows "$OUT/train.jsonl" --out "$OUT/model" "$@"' torchrun "$@"

clear-ir evaluate --ray --model "$OUT/model" --data "$OUT/data/collection" --out "$OUT/results"
