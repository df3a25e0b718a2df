#!/usr/bin/env bash
# Installs from Debian (or Ubuntu) what some tests run and pip does not bring; only what is absent.
#
#   tests/clients               g++, a JDK, Node and mono (mcs): the clients are built and run
#   tests/clients/test_page.py  chromium: pages in a real browser, also tests/serve/test_browser.py
#   tests/serve/test_nginx.py   nginx: the configuration of docs/serving.md
#
# It needs root, and is meant for continuous integration: without these programs the tests that
# need them are skipped, and say so; where CI=true, they fail.
set -euo pipefail

say() { printf 'toolchains: %s\n' "$*" >&2; }

# A program, and the packages that bring it.
wanted='
g++      g++
javac    default-jdk-headless
node     nodejs
mcs      mono-mcs libmono-system-net-http4.0-cil libmono-system-runtime-serialization4.0-cil libmono-system-xml-linq4.0-cil
mono     mono-runtime libmono-system4.0-cil
chromium chromium
nginx    nginx-light
'

PATH="$PATH:/usr/sbin:/sbin" # where nginx is
missing=()
while read -r program packages; do
    [[ -n "$program" ]] || continue
    command -v "$program" >/dev/null 2>&1 && continue
    read -ra names <<<"$packages"
    missing+=("${names[@]}")
done <<<"$wanted"

if [[ ${#missing[@]} -eq 0 ]]; then exit 0; fi
if [[ "$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null 2>&1; then
    say "error: as root on Debian or Ubuntu this would install: ${missing[*]}"
    exit 1
fi
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
options=(-q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get "${options[@]}" update &&
    apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 12 "$log" >&2
    say "error: apt-get could not install them"
    exit 1
fi
