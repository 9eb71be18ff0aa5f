#!/usr/bin/env bash
# Test a checkpoint on a Slurm cluster.
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#       bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# GPUS_PER_NODE=0 asks for no GPU. PORT and MASTER_ADDR are honoured, PYTHON chooses the
# interpreter. If one process fails, Slurm ends all of them.
set -euo pipefail
source "$(dirname "$0")/slurm_launch.sh"
need_words 4 "$0" "$@"
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
shift 4
slurm_launch test.py "$CONFIG" "$CHECKPOINT" --launcher slurm "$@"
