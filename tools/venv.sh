# shellcheck shell=bash
# Sourced by run.sh and test.sh: `prepare STAMP EXTRAS` makes .venv in $root, once.
# Written for bash 3.2 too, which is what macOS has.

say() { printf 'mooer: %s\n' "$*" >&2; }

# Stamps hold pyproject.toml itself and the folder, for a checkout that moved needs a new .venv.
is_prepared() {
    local stamp="$root/.venv/.stamp-$1"
    [[ -x "$root/.venv/bin/mooer" && -x "$root/.venv/bin/python" && -f "$stamp" ]] &&
        [[ "$(<"$stamp")" == "$root"$'\n'"$(<"$root/pyproject.toml")" ]]
}

# Prints a Python from 3.10 to 3.13, or a newer one; MOOER_PYTHON goes first.
find_python() {
    local candidate version no_venv="" newer=""
    for candidate in "${MOOER_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python \
        /opt/homebrew/bin/python3.1{3,2,1,0} /usr/local/bin/python3.1{3,2,1,0}; do
        [[ -n "$candidate" ]] && command -v "$candidate" >/dev/null 2>&1 || continue
        version=$("$candidate" -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null) ||
            continue
        [[ "${version%% *}" == 3 && "${version##* }" -ge 10 ]] || continue
        if ! "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            no_venv=${no_venv:-$candidate ${version/ /.}}
        elif [[ "${version##* }" -le 13 || "$candidate" == "${MOOER_PYTHON:-}" ]]; then
            printf '%s\n' "$candidate"
            return
        else
            newer=${newer:-$candidate}
        fi
    done
    if [[ -n "$newer" ]]; then
        printf '%s\n' "$newer"
        return
    fi
    if [[ -n "$no_venv" ]]; then
        say "error: ${no_venv% *} lacks the venv module: on Debian and Ubuntu run" \
            "\`sudo apt install python${no_venv##* }-venv\`, then this again"
    else
        say "error: no Python from 3.10 to 3.13 found: install one (python.org, brew, apt)," \
            "or name it in MOOER_PYTHON"
    fi
    return 1
}

# One at a time: a lock on pyproject.toml, held by descriptor 9 until it is closed. Where the
# file system has no locks, go on without.
take_turns() {
    exec 9<>"$root/pyproject.toml" || return 0
    "$1" - <<'PYTHON' || true
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("mooer: waiting for another run that is making .venv", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass
PYTHON
}

# PyTorch without CUDA's gigabytes where there is no NVIDIA GPU: as the package index has it, else
# as pytorch.org has it, else (nothing is installed here) whatever the requirement brings.
install_torch() {
    local python=$1 build
    if command -v nvidia-smi >/dev/null 2>&1 || [[ "$(uname -sm)" != "Linux x86_64" ]]; then return; fi
    if "$python" -c 'import torch' 2>/dev/null; then return; fi
    build=$("$python" -m pip index versions torch 2>/dev/null | grep -oE '[0-9.]+\+cpu' | head -n 1) || true
    if [[ -n "$build" ]]; then
        set -- "torch==$build"
    else
        set -- torch --index-url https://download.pytorch.org/whl/cpu
    fi
    say "no NVIDIA GPU here: asking for PyTorch for the CPU ($*)"
    "$python" -m pip install --disable-pip-version-check --no-input --retries 1 "$@" 2>&1 ||
        say "not to be had: taking PyTorch as the package index has it, which may be large"
}

prepare() {
    local stamp=$1 extras=$2 venv="$root/.venv" log="$root/.venv/setup.log" python fresh=""
    if is_prepared "$stamp"; then return 0; fi
    python=$(find_python) || exit 1
    take_turns "$python"
    if ! is_prepared "$stamp"; then
        trap 'say "interrupted; the next run begins anew"; exit 130' INT
        # What an earlier run left half made, or whose Python is gone, is made anew.
        if [[ -e "$venv/.unfinished" ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
            fresh=--clear
        fi
        say "making .venv with $("$python" -V 2>&1) and the packages mooer needs (once; one to three" \
            "minutes on a usual line)"
        if [[ -n "$fresh" ]]; then
            mkdir -p "$venv"
            : >"$venv/.unfinished"
            # shellcheck disable=SC2086
            "$python" -m venv $fresh "$venv" || {
                : >"$venv/.unfinished"
                say "error: $python could not make $venv (is there room, may it be written?)"
                exit 1
            }
        fi
        : >"$venv/.unfinished"
        rm -f "$venv/.stamp-run" "$venv/.stamp-$stamp" "$log"
        if [[ "$extras" == *train* ]]; then
            install_torch "$venv/bin/python" >>"$log" 9>&-
        fi
        if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
            -e "$root$extras" >>"$log" 2>&1 9>&-; then
            tail -n 12 "$log" >&2
            say "error: pip could not install what mooer needs: see $log; behind a firewall set" \
                "PIP_INDEX_URL or PIP_PROXY, then run this again"
            exit 1
        fi
        for name in run "$stamp"; do
            printf '%s\n%s\n' "$root" "$(<"$root/pyproject.toml")" >"$venv/.stamp-$name"
        done
        rm -f "$venv/.unfinished"
        trap - INT
    fi
    exec 9>&-
}
