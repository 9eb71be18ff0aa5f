# Sourced by dist_train.sh, dist_test.sh and slurm_launch.sh: what launchers share, and torchrun.

# Stop unless $2, the value of $1, is a whole number of at least $3 (default 1). Values from outside
# go through this before any arithmetic, which would evaluate them.
need_number() {
    case $2 in
    '' | *[!0-9]* | ???????*) ;;
    *) if [ "$2" -ge "${3:-1}" ]; then return; fi ;;
    esac
    printf 'error: %s is "%s"; give a whole number, %s or more\n' "$1" "$2" "${3:-1}" >&2
    exit 1
}

# Print the comment at the top of script $1; below `mmssl NAME` it names the tools as that does.
usage() {
    local text
    text=$(awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "$1")
    if [ -n "${MMSSL_TYPED:-}" ]; then
        text=$(sed -E "s#bash tools/[a-z_]+[.]sh#$MMSSL_TYPED#; s#tools/([a-z]+)[.]py#mmssl \\1#g" \
            <<<"$text")
    fi
    printf '%s\n' "$text"
}

# Print the usage of script $2 and end unless its words, "$3 ...", are $1 or more.
need_words() {
    local count=$1 script=$2
    shift 2
    case ${1:-} in
    -h | --help)
        usage "$script"
        exit 0
        ;;
    esac
    if [ $# -lt "$count" ]; then
        usage "$script" >&2
        exit 1
    fi
}

# Keep, for the line that says how to go on after an interruption, what stands before the config:
# those of the variables "$1" that are set, then the script and the words "$3 ..."; and after it,
# "$2". The command mmssl, which has chosen the interpreter, stands for the script if it was typed.
remember() {
    local name head= names=$1 script
    export MMSSL_COMMAND_TAIL=$2
    script="bash $(printf %q "$3")"
    shift 3
    if [ -n "${MMSSL_TYPED:-}" ]; then script=$MMSSL_TYPED names=${names/PYTHON/}; fi
    for name in $names; do
        if [ -n "${!name:-}" ]; then head+="$name=$(printf %q "${!name}") "; fi
    done
    if [ $# -gt 0 ]; then script+=" $(printf '%q ' "$@")"; fi
    export MMSSL_COMMAND_HEAD="$head$script "
}

# One thread for each process unless OMP_NUM_THREADS says otherwise; on a CPU, mmssl then shares the
# cores among them.
share_threads() {
    if [ -z "${OMP_NUM_THREADS:-}" ]; then
        export OMP_NUM_THREADS=1 MMSSL_THREADS=auto
    fi
}

# Stop with one line if this machine cannot listen on port $1.
need_free_port() {
    "${PYTHON:-python}" - "$1" >/dev/null <<'PY'
import os, socket, sys
try:
    socket.create_server(('', int(sys.argv[1]))).close()
except (OSError, OverflowError) as error:
    why = os.strerror(error.errno) if isinstance(error, OSError) else 'it is too large'
    sys.exit(f'error: PORT {sys.argv[1]} cannot be used ({why}); leave PORT out to take a free '
             'one, or give another')
PY
}

# Start GPUS processes of tool $1 with torchrun. On one machine a free port is taken unless PORT
# says which.
launch() {
    local tool=$1 nodes=${NNODES:-1} rank=${NODE_RANK:-0} meet=()
    shift
    need_number GPUS "$GPUS"
    need_number NNODES "$nodes"
    need_number NODE_RANK "$rank" 0
    if [ -n "${PORT:-}" ]; then need_number PORT "$PORT"; fi
    if [ "$nodes" -eq 1 ] && [ -z "${PORT:-}${MASTER_ADDR:-}" ]; then
        meet=(--standalone --local-addr=127.0.0.1 --nproc_per_node="$GPUS")
    else
        if [ "$rank" -eq 0 ]; then need_free_port "${PORT:-29500}"; fi
        meet=(--nnodes="$nodes" --node_rank="$rank" --nproc_per_node="$GPUS"
            --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
    fi
    share_threads
    export MMSSL_PARENT=$$ # exec keeps the number: the processes end with torchrun
    exec "${PYTHON:-python}" -m mmssl.utils.processes.torchrun "${meet[@]}" \
        "$(dirname "${BASH_SOURCE[0]}")/$tool" "$@"
}
