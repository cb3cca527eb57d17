#!/bin/sh
# Make .venv-peers-*: an environment for each foreign model server that the peer tests start, and one for the frameworks.
# Called by `make test-peers`; does nothing for those that are up to date. What cannot be installed (offline, say) is
# named, and its tests are skipped.
#
# .venv-peers-NAME/.offhook-peer is the receipt, as in setup.sh: removed before anything is changed and written last.
set -eu

# How long one installation may take, in seconds, and how often it is said how far it is.
LIMIT=${OFFHOOK_PEERS_LIMIT:-1200}
STEP=10

cd "$(dirname "$0")/.."
root=$(pwd -P)
python=.venv/bin/python
pip=

say() { printf 'peers: %s\n' "$*"; }
stop() { if [ -n "$pip" ]; then kill "$pip" 2>/dev/null || :; fi; }
# A shell lets what it runs in the background live through a Ctrl-C.
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM

contents() { { printf '%s\n' "$root"; "$python" -V; cat "tests/peers/requirements-$1.txt"; } | cksum; }

# Run pip with its words in a file, and say now and then how far it is.
install() {
  "$1/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 --progress-bar off \
    --requirement "$2" >"$1/install.log" 2>&1 &
  pip=$!
  seconds=0
  while kill -0 "$pip" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    if [ "$seconds" -ge "$LIMIT" ]; then
      say "$name: not installed within $LIMIT s"
      stop
    elif [ $((seconds % STEP)) -eq 0 ]; then
      say "$name: $seconds s, $(du -sm "$1" | cut -f 1) MB so far"
    fi
  done
  status=0
  wait "$pip" || status=$?
  pip=
  return "$status"
}

for name in litellm transformers frameworks; do
  venv=.venv-peers-$name
  list=tests/peers/requirements-$name.txt
  if [ -f "$venv/.offhook-peer" ] && [ "$(cat "$venv/.offhook-peer")" = "$(contents "$name")" ]; then continue; fi
  rm -rf "$venv"
  say "$name: installing into $venv, once (some minutes)"
  "$python" -m venv "$venv"
  if install "$venv" "$list"; then
    contents "$name" >"$venv/.offhook-peer"
    say "$name: done, $(du -sm "$venv" | cut -f 1) MB"
  else
    say "$name: cannot be installed here, its tests will be skipped; pip said:"
    grep -i '^error' "$venv/install.log" | tail -n 3 || :
    rm -rf "$venv"
  fi
done
