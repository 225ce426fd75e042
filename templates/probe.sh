#!/bin/sh
# Tests whether pods on different nodes see the same volume: sh -c THIS mrunner
#
#   $MRUNNER_ROOT    the mount path of the volume
#   $MRUNNER_PROBE   a name that no earlier test had
#   $MRUNNER_PODS    the number of pods, 1 or 2
#
# The termination message is the result: `seen` and `proved`, or `failed` and the operation that failed, or `unseen` if the
# pod waited 105 seconds for a file of the other pod. The pod adds up its own naps, so clocks and the time in which a node
# stands still do not count. An NFS client asks its server again within 60 s (nfs(5), `acdirmax`), and the other pod may start
# half a minute later.
#
# Runs in dash, bash and busybox. The program leaves out comments and indentation.

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

# the next test may run as another user
umask 0
mkdir -p "$folder" || fail folder

# put NAME TEXT: creates a file on the disk; the other pod sees all of it or nothing
put() {
  printf '%s\n' "$2" | dd of="$folder/.$1" conv=fsync 2>/dev/null || fail write
  # before the rename, because after it the other pod may append to the file or remove it
  holds ".$1" "$2" || fail read
  mv "$folder/.$1" "$folder/$1" || fail rename
}
# waited: in fifths of a second
waited=0
rest() {
  if sleep 0.2 2>/dev/null; then waited=$((waited + 1)); else sleep 1; waited=$((waited + 5)); fi
}
# holds NAME TEXT: waits until the file has this content, because a cached one may be older
holds() {
  looks=0
  until [ "$(cat "$folder/$1" 2>/dev/null)" = "$2" ]; do
    looks=$((looks + 1))
    [ $looks -lt 50 ] || return 1
    rest
  done
}
# await NAME: waits for a file
await() {
  while [ ! -e "$folder/$1" ]; do
    # an NFS client may cache that the file is missing; listing the folder clears that
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
