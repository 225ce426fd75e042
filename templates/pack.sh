#!/bin/sh
# Runs the points of a pod that has several, one after the other: sh THIS COMMAND ARG...
# COMMAND runs the point whose number is in JOB_COMPLETION_INDEX: see wrapper.sh.
#
# A point is skipped if its record on the volume says that an earlier attempt of the pod finished it, or that it ended with
# a code for which there is no retry. A point that was ended by a signal from outside is never skipped. The exit code is the
# code of a failed point; a code that allows a retry comes first. Signals are forwarded to the running point. After a signal
# that ends it, no other point starts.
#
# Runs in dash, bash and busybox. The program leaves out comments and indentation, and puts await.sh before this file.
# shellcheck disable=SC2034,SC2064,SC2086,SC2317

each=$MRUNNER_POINTS_PER_POD final=" 0 ${MRUNNER_NO_RETRY-} "
point=$((JOB_COMPLETION_INDEX * each)) end=$((JOB_COMPLETION_INDEX * each + each))
[ "$end" -le "$MRUNNER_POINTS" ] || end=$MRUNNER_POINTS
records=$STORAGE_DIR/.mrunner/runs/$MRUNNER_RUN output=${MRUNNER_OUTPUT%/*}
unset MRUNNER_POINTS MRUNNER_POINTS_PER_POD MRUNNER_NO_RETRY
# the points share the 4 KiB of the container's termination message
export MRUNNER_ROOM="${MRUNNER_ROOM-$((4096 / each))}"

time='????-??-??T??:??:??Z'
began="*\"began\":\"$time\"," ended="\"ended\":\"$time\",\"code\":"
is_final() { case $final in *" $1 "*) ;; *) return 1 ;; esac; }
n='
'
# Sets `code` to the exit code of the point, and succeeds if the point needs no other attempt.
is_done() {
  for record in "$records/$point".*.json; do
    [ -f "$record" ] && [ ! -L "$record" ] || continue
    # only the beginning: other users of the volume can write files of any size
    line=$(dd bs=512 count=1 <"$record" 2>/dev/null) || continue
    line=${line%%"$n"*}
    line=${line#$began}
    case $line in $ended*) line=${line#$ended} code=${line%%[!0-9]*} ;; *) code='' ;; esac
    case ${line#"$code"} in ',"ended_by":"told"'*) code='' ;; esac
    [ "$code" ] && is_final "$code" && return
  done
  return 1
}

child='' held='' stop=''
# forward SIGNAL: sends it to the running point, or keeps it for the next one
forward() {
  got=yes
  case $1 in USR?) ;; *) stop=yes ;; esac
  if [ "$child" ]; then kill -s "$1" "$child"; else held="$held $1"; fi
}
for signal in TERM INT HUP QUIT USR1 USR2; do trap "forward $signal" "$signal"; done

# bash prints a message about each child that a signal ended
exec 3>&2 2>/dev/null
result=0 sealed=0
while [ "$point" -lt "$end" ] && [ -z "$stop" ]; do
  if is_done; then
    # the record has the rest
    [ ! -w /dev/termination-log ] || echo "$MRUNNER_MARK $point $code exit - record - " >>/dev/termination-log
  else
    export JOB_COMPLETION_INDEX="$point" MRUNNER_OUTPUT="$output/$point"
    start "$@" </dev/null 2>&3 3>&-
    child=$!
    for signal in $held; do kill -s "$signal" "$child"; done
    held=''
    await "$child"
    child=''
  fi
  case $code in 0) ;; *) if is_final "$code"; then sealed=$code; else result=$code; fi ;; esac
  point=$((point + 1))
done
# 143: not all points ran, so the pod has not succeeded
[ "$result" != 0 ] || [ "$point" -eq "$end" ] || result=143
[ "$result" != 0 ] || result=$sealed
exit "$result"
