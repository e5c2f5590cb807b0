#!/usr/bin/env bash
# Prepares a machine, or a container image, to be a node. It makes a virtual environment with this project's dependencies, at the
# exact versions of constraints.txt, and puts it first on the PATH of every shell. It also turns on Ray's token authentication.
# The code itself comes with each job. The script can be run again, and then does only what has changed.
#
#   setup.sh [PACKAGE...]    also installs PACKAGEs, such as what a cloud's autoscaler needs on the head
#
# constraints.txt and pyproject.toml must be in the folder of this script. The environment is made in the same folder.
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
  local apt_get=(sudo DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600) # waits: a new machine may be updating itself
  "${apt_get[@]}" update && "${apt_get[@]}" install -y "$1"
}

python=$(find_python)
if ! "$python" -c 'import ensurepip' 2>/dev/null; then # on Debian and Ubuntu it is a separate package
  install_package "$(basename "$(readlink -f "$(command -v "$python")")")-venv"
fi
if ! command -v c++ >/dev/null; then # the engine fast needs it to build its kernels
  install_package g++ || echo "warning: $(hostname) has no C++ compiler; engine fast will run in torch alone and take longer" >&2
fi

# The marker names the inputs. An installation that broke off leaves no marker, and is done again.
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
    echo "error: torch cannot use the GPU of $(hostname); the driver is too old for torch's CUDA, or torch was built without CUDA" >&2
    exit 1 # otherwise the node would offer a GPU and compute without it
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
if ! grep -qxF "$line" ~/.bashrc; then # as the first line: Ubuntu's .bashrc returns at once in a shell that is not interactive
  printf '%s\n%s\n' "$line" "$(cat ~/.bashrc)" >~/.bashrc.new
  mv ~/.bashrc.new ~/.bashrc
fi
if [[ -e ~/.ray/auth_token ]]; then
  chmod 600 ~/.ray/auth_token # whoever reads it runs code on the cluster
fi
