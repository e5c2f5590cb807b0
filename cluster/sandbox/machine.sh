#!/usr/bin/env bash
# The first process of a machine of the sandbox. It makes the machine's file systems, starts its SSH server, and waits.
# When it ends, everything on the machine ends. It ends when its standard input is closed, so nothing outlives the process at the
# other end of that pipe.
#
#   machine.sh STATE NAME PATH...    run it in mount, network, PID and UTS namespaces of its own; the new /tmp keeps the PATHs
set -euo pipefail

state=$1 name=$2
shift 2

hostname "$name"
exec 3</tmp
mount -t tmpfs -o mode=1777 tmpfs /tmp
for path in "$@"; do # through the descriptor: the new /tmp covers these paths
  mkdir -p "$path"
  mount --no-canonicalize --rbind "/proc/$$/fd/3/${path#/tmp/}" "$path"
done
exec 3<&-
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
for file in hosts passwd shadow; do
  mount --bind "$state/$name/$file" "/etc/$file"
done

mkdir /run/sshd
/usr/sbin/sshd -f /dev/null -h "$state/host_key" -o "AuthorizedKeysFile=$state/user_key.pub" \
  -o UsePAM=no -o StrictModes=no -o PrintMotd=no -o PidFile=none -E "$state/$name/sshd.log"
touch "$state/$name/up"
read -r _ || true
