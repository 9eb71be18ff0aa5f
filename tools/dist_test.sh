#!/usr/bin/env bash
# Test a checkpoint with several processes; the result is that of one process.
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Without a GPU, GPUS processes share the CPU (gloo). On N machines run the same line on each with
# NNODES=N, NODE_RANK=0..N-1, MASTER_ADDR and PORT set; on one machine a free port is taken unless
# PORT says which. PYTHON chooses the interpreter.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
need_words 3 "$0" "$@"
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
shift 3
launch test.py "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
