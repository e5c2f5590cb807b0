#!/usr/bin/env bash
# Makes a machine, or a container image, ready to be a node: a virtual environment with this project's dependencies at the
# exact versions of constraints.txt, first on the PATH of every shell, and Ray's token authentication switched on.
# The code itself comes with each job. Safe to run again: it does only what has changed.
#
#   setup.sh [PACKAGE...]    PACKAGEs too, such as what a cloud's autoscaler needs on the head
#
# Expects constraints.txt and pyproject.toml in its own folder, and keeps the environment there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$here/venv

find_python() {
  local name
  for name in python3.12 python3.11 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "error: $(hostname) has neither Python 3.12 nor 3.11; install one of them, the same on every node" >&2
  return 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip' 2>/dev/null; then # Debian and Ubuntu keep it in a package of its own
  sudo apt-get -o DPkg::Lock::Timeout=600 update -qq # a machine that has just booted may be updating itself
  sudo DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq "$(basename "$(readlink -f "$(command -v "$python")")")-venv"
fi

# A marker for each set of inputs: an installation that broke off has none and is done again.
inputs=$(cat "$here/constraints.txt" "$here/pyproject.toml" <("$python" --version) <(echo "$@") | sha256sum | cut -c -16)
if [[ ! -e $venv/installed-$inputs ]]; then
  [[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --upgrade "pip==26.3"
  "$venv/bin/python" - "$here/pyproject.toml" >"$venv/requirements.txt" <<'PYTHON'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["project"]["dependencies"], sep="\n")
PYTHON
  "$venv/bin/python" -m pip install --quiet --no-cache-dir --requirement "$venv/requirements.txt" "$@" \
    --constraint "$here/constraints.txt" --build-constraint "$here/constraints.txt"
  touch "$venv/installed-$inputs"
fi

cat >"$here/environment" <<EOF
export PATH="$venv/bin:\$PATH"
export RAY_AUTH_MODE=token
export RAY_USAGE_STATS_ENABLED=0
EOF
line=". '$here/environment'"
touch ~/.bashrc
if ! grep -qxF "$line" ~/.bashrc; then # first: Ubuntu's .bashrc ends at once in a shell that is not interactive
  printf '%s\n%s\n' "$line" "$(cat ~/.bashrc)" >~/.bashrc.new
  mv ~/.bashrc.new ~/.bashrc
fi
if [[ -e ~/.ray/auth_token ]]; then
  chmod 600 ~/.ray/auth_token # whoever reads it runs code on the cluster
fi
