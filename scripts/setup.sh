#!/bin/sh
# Make .venv with the package and its pinned tools in it. Called by `make setup`; does nothing when .venv is up to date.
#
# .venv/.offhook-setup is the receipt: it says what .venv was made from, it is removed before anything is changed and
# written last. So an interrupted set-up, a moved repository or a Python that is gone is never believed.
set -eu

UV_VERSION=0.13.9

cd "$(dirname "$0")/.."
root=$(pwd -P)
venv=.venv
receipt=$venv/.offhook-setup

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# What .venv depends on, one per line: where it stands, which Python was asked for (if none is, any will do), what is in it.
noted() { sed -n "$1p" "$receipt"; }
contents() { cat pyproject.toml uv.lock scripts/setup.sh | cksum; }

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON is not a program on this machine"
    is_new_enough "$PYTHON" || fail "Python 3.11 or newer is needed, and $PYTHON is $("$PYTHON" -V 2>&1)"
    python=$PYTHON
    return
  fi
  for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if is_new_enough "$python"; then return; fi
  done
  if command -v python3 >/dev/null 2>&1; then
    fail "Python 3.11 or newer is needed, and python3 is $(python3 -V 2>&1); try: make setup PYTHON=/path/to/python3.11"
  fi
  fail "Python 3.11 or newer is needed, and there is no python3 on this machine"
}

# Debian and Ubuntu keep the half of the venv module that brings pip in a package of its own.
need_ensurepip() {
  if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then return; fi
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  command -v apt-get >/dev/null 2>&1 || fail "$python has no ensurepip module; install it and run this again"
  [ "$(id -u)" = 0 ] || fail "$python cannot make virtual environments yet; type: sudo apt-get install $package"
  say "$python cannot make virtual environments yet, installing $package with apt-get"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || say "apt-get update failed, trying with the package lists that are here"
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null || fail "type: apt-get install $package"
}

if [ -n "${PYTHON:-}" ]; then find_python; fi
if [ -f "$receipt" ]; then
  asked=${PYTHON:-$(noted 2)}
  if ! "$venv/bin/python" -c '' >/dev/null 2>&1; then
    say "the Python of .venv does not run any more, making .venv again"
    rm -rf "$venv"
  elif [ "$(noted 1)" != "$root" ]; then
    say "the repository was moved, making .venv again"
    rm -rf "$venv"
  elif [ "$(noted 2)" != "$asked" ]; then
    say "another Python is asked for, making .venv again"
    rm -rf "$venv"
  elif [ "$(noted 3)" = "$(contents)" ]; then
    exit 0
  else
    say "the dependencies have changed"
    rm -f "$receipt"
    kept=yes
  fi
elif [ -e "$venv" ] || [ -L "$venv" ]; then
  say ".venv is incomplete or not made by this script, making it again"
  rm -rf "$venv"
fi

if [ -z "${kept:-}" ]; then
  asked=${PYTHON:-}
  find_python
  need_ensurepip
  say "making .venv with $("$python" -V 2>&1)"
  "$python" -m venv "$venv"
fi
if [ "$("$venv/bin/uv" --version 2>/dev/null | cut -d ' ' -f 2)" != "$UV_VERSION" ]; then
  say "installing uv $UV_VERSION"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
fi
# Trust what the machine trusts, as pip does: behind a company's proxy uv's own list of authorities is not enough.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  if [ -s "$bundle" ]; then export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"; fi
done
say "installing what uv.lock names"
unset PYTHONHOME PYTHONPATH
VIRTUAL_ENV=$root/$venv UV_PROJECT_ENVIRONMENT=$root/$venv UV_PYTHON=$root/$venv/bin/python \
  UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
  "$venv/bin/uv" sync --frozen --group dev

printf '%s\n' "$root" "$asked" "$(contents)" >"$receipt.part"
mv "$receipt.part" "$receipt"
say "done: $venv/bin/offhook"
