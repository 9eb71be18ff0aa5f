#!/usr/bin/env bash
# Train on a Slurm cluster.
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#       bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS_PER_NODE=0 asks for no GPU. PORT and MASTER_ADDR are honoured, PYTHON chooses the
# interpreter. If one process fails, Slurm ends all of them.
set -euo pipefail
source "$(dirname "$0")/slurm_launch.sh"
need_words 3 "$0" "$@"
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
remember 'GPUS GPUS_PER_NODE NNODES CPUS_PER_TASK SRUN_ARGS MASTER_ADDR PORT PYTHON OMP_NUM_THREADS' \
    '' "$0" "$PARTITION" "$JOB_NAME"
slurm_launch train.py "$CONFIG" --launcher slurm "$@"
