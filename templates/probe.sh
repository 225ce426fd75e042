#!/bin/sh
# Pods on different nodes try whether they see the same volume: sh -c THIS mrunner
#
#   $MRUNNER_ROOT    where it is mounted
#   $MRUNNER_PROBE   a name that no probe had before
#   $MRUNNER_PODS    how many pods there are, 1 or 2
#
# What a pod found is its termination message: `seen` and `proved`, or `failed` and what did; or `unseen`, if for 105
# seconds it looked for what the other writes. These seconds are counted by the pod's own naps, so that no clock counts,
# nor the time in which a node stands still: a client of NFS has asked its server anew within 60 s (nfs(5), `acdirmax`),
# and the other pod may begin half a minute later.
#
# For dash, bash and busybox. Lines that begin with `#` are not sent.

tell() { printf '%s\n' "$*" >/dev/termination-log; }
fail() {
  tell "failed $*"
  exit 1
}
folder=$MRUNNER_ROOT/.mrunner/probe/$MRUNNER_PROBE
tidy() {
  rm -rf "$folder"
  rmdir "$MRUNNER_ROOT/.mrunner/probe" 2>/dev/null
}
trap 'tidy; exit 1' TERM

# the next user of the volume may be another one
umask 0
mkdir -p "$folder" || fail folder

put() { # name text: seen whole or not at all, and on the disk
  printf '%s\n' "$2" | dd of="$folder/.$1" conv=fsync 2>/dev/null || fail write
  # before it has its name: then the other pod goes on, appends to it, or removes it
  holds ".$1" "$2" || fail read
  mv "$folder/.$1" "$folder/$1" || fail rename
}
# in fifths of a second
waited=0
rest() {
  if sleep 0.2 2>/dev/null; then waited=$((waited + 1)); else sleep 1; waited=$((waited + 5)); fi
}
holds() { # name text: what was cached of a file may be a little older than the file
  looks=0
  until [ "$(cat "$folder/$1" 2>/dev/null)" = "$2" ]; do
    looks=$((looks + 1))
    [ $looks -lt 50 ] || return 1
    rest
  done
}
await() { # name
  while [ ! -e "$folder/$1" ]; do
    # a client of NFS may remember that the name was missing, and forgets it when it looks at the folder
    ls "$folder" >/dev/null 2>&1
    rest
    if [ $waited -ge 525 ]; then
      tell unseen
      exit 0
    fi
  done
}

if [ "$JOB_COMPLETION_INDEX" = 1 ]; then
  await first
  holds first "one $MRUNNER_PROBE" || fail read
  echo "two $MRUNNER_PROBE" >>"$folder/first" || fail append
  put second "two $MRUNNER_PROBE"
  tell seen
  exit 0
fi

put first "one $MRUNNER_PROBE"
if [ "$MRUNNER_PODS" = 2 ]; then
  await second
  both="one $MRUNNER_PROBE
two $MRUNNER_PROBE"
  holds first "$both" || fail append
fi
owner=$(stat -c %u "$folder/first" 2>/dev/null) || owner=
room=$(stat -f -c '%a %S' "$folder" 2>/dev/null) || room=
tidy
tell "proved owner=$owner user=$(id -u) free=${room% *}*${room#* }"
