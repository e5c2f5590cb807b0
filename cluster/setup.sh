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

install_package() {
  local apt_get=(sudo DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600) # a new machine may be updating itself
  "${apt_get[@]}" update && "${apt_get[@]}" install -y "$1"
}

python=$(find_python)
if ! "$python" -c 'import ensurepip' 2>/dev/null; then # Debian and Ubuntu keep it in a package of its own
  install_package "$(basename "$(readlink -f "$(command -v "$python")")")-venv"
fi
if ! command -v c++ >/dev/null; then # builds the kernels of engine fast
  install_package g++ || echo "warning: $(hostname) has no C++ compiler; engine fast will run in torch alone and take longer" >&2
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
  gpus=$(nvidia-smi -L 2>/dev/null || true)
  if [[ $gpus == *GPU* ]] && ! "$venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "error: torch cannot use the GPU of $(hostname); the driver is too old for its CUDA, or torch is a build without" >&2
    exit 1 # instead of a node that offers a GPU and computes without it
  fi
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
