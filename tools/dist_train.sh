#!/usr/bin/env bash
# Train with several processes on this machine, or on several machines.
#   bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Without a GPU, GPUS processes share the CPU (gloo). On N machines run the same line on each with
# NNODES=N, NODE_RANK=0..N-1, MASTER_ADDR and PORT set; on one machine a free port is taken unless
# PORT says which. PYTHON chooses the interpreter.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
need_words 2 "$0" "$@"
CONFIG=$1
GPUS=$2
shift 2
remember 'NNODES NODE_RANK MASTER_ADDR PORT PYTHON OMP_NUM_THREADS' "$(printf %q "$GPUS")" "$0"
launch train.py "$CONFIG" --launcher pytorch "$@"
