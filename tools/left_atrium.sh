#!/usr/bin/env bash
# Train on the left atrium at the published settings for as long as there is a machine, then test.
#
#   bash tools/left_atrium.sh DATA [MINUTES [METHOD ...]]
#
# DATA is the folder of UA-MT's volumes, or an archive that pack_volumes.py made of it. The methods
# (sup_only and mean_teacher unless named) share the minutes (13 without a number) after an eighth
# for the tests. The same line goes on where the last one stopped, so that several short loans of a
# GPU add up to one training; every table tells the iteration reached beside the published numbers,
# which are those of 6,000. WORK (work_dirs/left_atrium) is the folder of the runs, LABELS (16) the
# number of labelled volumes, PYTHON the interpreter, OPTIONS more of train.py.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -lt 1 ] || [ "$1" = -h ] || [ "$1" = --help ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit $(($# < 1))
fi
data=$1
minutes=${2:-13}
shift $(($# < 2 ? $# : 2))
methods=("$@")
[ ${#methods[@]} -gt 0 ] || methods=(sup_only mean_teacher)
PYTHON=${PYTHON:-python}
work=${WORK:-work_dirs/left_atrium}
config=left_atrium
[ "${LABELS:-16}" = 16 ] || config=left_atrium_${LABELS}labels
[ "$minutes" -gt 0 ] 2>/dev/null || {
    echo "error: MINUTES is \"$minutes\": give a whole number above 0" >&2
    exit 1
}
for method in "${methods[@]}"; do
    [ -f "$ROOT/configs/$method/$config.py" ] || {
        echo "error: there is no configs/$method/$config.py: name methods that have one" >&2
        exit 1
    }
done
mkdir -p "$work"
if [ -f "$data" ]; then
    [ -d "$work/data" ] ||
        "$PYTHON" "$ROOT/tools/dataset_converters/pack_volumes.py" unpack "$data" "$work/data"
    data=$work/data
fi
seconds=$((minutes * 60 * 7 / 8 / ${#methods[@]}))
for method in "${methods[@]}"; do
    run=$work/$method-${LABELS:-16}
    status=0
    timeout --signal=TERM --kill-after=60 "$seconds" \
        "$PYTHON" "$ROOT/tools/train.py" "$ROOT/configs/$method/$config.py" --work-dir "$run" \
        --resume --amp ${OPTIONS:-} --cfg-options "train_dataloader.dataset.data_root=$data" \
        "val_dataloader.dataset.data_root=$data" "test_dataloader.dataset.data_root=$data" \
        train_cfg.val_interval=1000000 default_hooks.checkpoint.interval=200 ||
        status=$?
    # 124: the time is over; 75: asked to stop. Both leave a checkpoint to go on from.
    [ "$status" = 0 ] || [ "$status" = 124 ] || [ "$status" = 75 ] || exit "$status"
done
for method in "${methods[@]}"; do
    run=$work/$method-${LABELS:-16}
    last=$(cat "$run/last_checkpoint" 2>/dev/null || true)
    if [ -z "$last" ]; then
        echo "$method: no checkpoint yet; give it more minutes"
        continue
    fi
    [ -f "$last" ] || last=$run/$(basename "$last")
    echo "$method with ${LABELS:-16} labels after $(basename "$last" .pth | tr _ ' '):"
    "$PYTHON" "$ROOT/tools/test.py" "$ROOT/configs/$method/$config.py" "$last" \
        --work-dir "$run/test" --out "$run/$(basename "$last" .pth).json" \
        --cfg-options "test_dataloader.dataset.data_root=$data"
done
