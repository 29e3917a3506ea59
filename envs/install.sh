#!/usr/bin/env bash
# Make the virtual environment VENV from the lock file: envs/install.sh VENV STAMP
# The stamp appears when everything is installed; an installation that was killed is started afresh.
set -euo pipefail

venv=$1 stamp=$2
python=${PYTHON:-python3}

exec 9>"$venv.lock"
flock 9 # two `make` at once: the second finds the work done
[ ! -e "$stamp" ] || exit 0

fail() {
  echo "error: $*" >&2
  exit 2
}

command -v "$python" >/dev/null || fail "there is no $python; install Python 3.11 or newer, or set PYTHON="
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old, Python 3.11 or newer is needed; set PYTHON= to a newer one"

[ ! -e "$venv/.installing" ] || rm -rf "$venv"
if [ ! -x "$venv/bin/pip" ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments; install the package python3-venv, or set PYTHON= to another Python"
  echo "making the environment $venv (once, a few minutes)"
  mkdir -p "$venv"
  touch "$venv/.installing"
  "$python" -m venv "$venv"
fi
touch "$venv/.installing"
rm -f "$venv"/.ready-*

install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 10 "$@" 9>&-
}
# torch comes first and alone: with it in place nothing else pulls another build of it
install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "${TORCH:-torch==2.13.0}"
install --requirement envs/requirements.txt
install --no-deps --editable .
echo "compiling the loops of the Hamiltonian (once, a minute)"
OMP_NUM_THREADS=1 "$venv/bin/python" envs/compile_kernels.py

rm "$venv/.installing"
touch "$stamp"
