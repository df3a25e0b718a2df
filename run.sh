#!/usr/bin/env bash
# Makes .venv beside this file on the first call, then runs `mooer` with the arguments given.
# Without arguments it shows what mooer does, on the two clips of examples/.
set -euo pipefail

file=${BASH_SOURCE[0]}
while [[ -L "$file" ]]; do # called by a link
    link=$(readlink "$file")
    [[ "$link" == /* ]] || link="$(dirname -- "$file")/$link"
    file=$link
done
case $file in
*/*) root=$(cd -- "${file%/*}" && pwd -P) ;;
*) root=$(pwd -P) ;;
esac
# shellcheck source=tools/venv.sh
source "$root/tools/venv.sh"
case "${1:-} ${2:-}" in
"train "*) prepare train "[train,evaluate]" ;; # PyTorch comes only with what needs it
"data synth" | "say "* | "interpret "*) prepare speak "[speak,listen]" ;;
"talk "* | "agent "*) prepare talk "[speak,listen,knowledge,plot]" ;;
"knowledge "*) prepare knowledge "[knowledge]" ;;
"lm "* | "domain "*) prepare lm "[wfst,plot]" ;;
"serve "*) prepare serve "[serve,speak,knowledge]" ;;
"evaluate "*) prepare evaluate "[evaluate]" ;;
*) prepare run "" ;;
esac

mooer="$root/.venv/bin/mooer"
if (($# > 0)); then
    exec "$mooer" "$@"
fi

show() { # run a command on a clip, after showing it
    printf '\n$ mooer'
    printf ' %s' "$@"
    printf '\n'
    (cd -- "$root" && exec "$mooer" "$@") || exit
}

printf '%s: two short clips, heard and translated on this machine alone\n' "$("$mooer" --version)"
show transcribe examples/zh.flac examples/en.flac
show translate examples/zh.flac --to en --bilingual
show translate examples/en.flac --to zh --bilingual
printf '\nNow your own:  ./run.sh transcribe talk.mp3      ./run.sh translate film.mp4 --to en\n'
printf 'All commands:  ./run.sh --help                   More: README.md\n'
