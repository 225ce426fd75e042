#!/bin/sh
# Runs the points of a pod that has several, one after the other: sh -c THIS mrunner COMMAND ARG...
# COMMAND starts one point, the one that JOB_COMPLETION_INDEX says: see wrapper.sh.
#
# A point is passed over if its record on the volume says that an earlier try of the pod did it, or ended
# with a code that rules out another; one that was told to end never is. The exit code is that of a point that
# failed, and of one that may be tried again before any other. Signals go to the point at work; after one that
# ends it, none begins.
#
# For dash, bash and busybox. Lines that begin with `#` are not sent.
# shellcheck disable=SC2034,SC2064,SC2086,SC2317

each=$MRUNNER_POINTS_PER_POD final=" 0 ${MRUNNER_NO_RETRY-} "
point=$((JOB_COMPLETION_INDEX * each)) end=$((JOB_COMPLETION_INDEX * each + each))
[ "$end" -le "$MRUNNER_POINTS" ] || end=$MRUNNER_POINTS
records=$STORAGE_DIR/.mrunner/runs/$MRUNNER_RUN output=${MRUNNER_OUTPUT%/*}
unset MRUNNER_POINTS MRUNNER_POINTS_PER_POD MRUNNER_NO_RETRY

time='????-??-??T??:??:??Z'
began="*\"began\":\"$time\"," ended="\"ended\":\"$time\",\"code\":"
is_final() { case $final in *" $1 "*) ;; *) return 1 ;; esac; }
n='
'
recorded() { # sets the point's exit code, if it needs no other try
  for record in "$records/$point".*.json; do
    [ -f "$record" ] && [ ! -L "$record" ] || continue
    # what comes first in it; others can write there, as much as they like
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
pass() { # signal: on to the point at work, or to the next one
  got=yes
  case $1 in USR?) ;; *) stop=yes ;; esac
  if [ "$child" ]; then kill -s "$1" "$child"; else held="$held $1"; fi
}
for signal in TERM INT HUP QUIT USR1 USR2; do trap "pass $signal" "$signal"; done

# bash would tell of a child that a signal ended
exec 3>&2 2>/dev/null
result=0 sealed=0
while [ "$point" -lt "$end" ] && [ -z "$stop" ]; do
  if recorded; then
    # the record says the rest
    [ ! -w /dev/termination-log ] || echo "$MRUNNER_MARK $point $code exit - record - " >>/dev/termination-log
  else
    export JOB_COMPLETION_INDEX="$point" MRUNNER_OUTPUT="$output/$point"
    lead "$@" </dev/null 2>&3 3>&-
    child=$!
    for signal in $held; do kill -s "$signal" "$child"; done
    held=''
    await "$child"
    child=''
  fi
  case $code in 0) ;; *) if is_final "$code"; then sealed=$code; else result=$code; fi ;; esac
  point=$((point + 1))
done
# as the signal would have ended it
[ "$result" != 0 ] || [ "$point" -eq "$end" ] || result=143
[ "$result" != 0 ] || result=$sealed
exit "$result"
