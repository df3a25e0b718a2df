#!/usr/bin/env bash
# Makes .venv with what development needs, then checks and tests; arguments go to pytest.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=tools/venv.sh
source "$root/tools/venv.sh"
cd -- "$root"
prepare test "[dev,evaluate,knowledge,plot,serve,speak,train,wfst]"
bin="$root/.venv/bin"
PATH="$bin:$PATH"

check() { # silent when all is well
    local output
    output=$("$@" 2>&1) || {
        local code=$?
        printf '%s\n' "$output"
        say "error: failed: $*"
        exit "$code"
    }
    printf 'ok  %s\n' "$*"
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-cache
check python tools/check_size.py
if (($# == 0)); then # all of them: two processes of one thread each, which do not wait for each other
    export OMP_NUM_THREADS=1
    set -- --numprocesses 2 --dist loadfile --max-worker-restart 0
fi
exec python -m pytest "$@"
