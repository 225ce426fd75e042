#!/bin/sh
# Starts the experiment in its pod: sh -c THIS mrunner PROGRAM ARG...
#
# It makes the point's folder, and keeps on the volume what the experiment prints and how it ended:
#   .mrunner/runs/RUN/run.json          what the run is
#   .mrunner/runs/RUN/INDEX.POD.log     what one attempt at a point printed
#   .mrunner/runs/RUN/INDEX.POD.json    when it began and ended, and its exit code
# Signals, exit code and output stay the experiment's own. Where that can't be, or where anything is
# missing, sh becomes the experiment and keeps nothing.
#
# For dash, bash and busybox. Lines that begin with `#` are not sent.
# shellcheck disable=SC2093,SC2034

mkdir -p "$MRUNNER_OUTPUT" || {
  echo "mrunner: cannot make the folder $MRUNNER_OUTPUT in the storage" >&2
  exit 1
}
keep=$MRUNNER_KEEP_LOGS pod=$MRUNNER_POD run=$MRUNNER_RECORD index=$JOB_COMPLETION_INDEX
unset MRUNNER_KEEP_LOGS MRUNNER_POD MRUNNER_RECORD

# of a sweep: the point's own line says how its parameters stand among the words
if [ "${MRUNNER_LINES-}" ]; then
  n='
'
  line=$(sed -n "$((index % MRUNNER_LINES + 1)){p;q;}" "/mrunner/points/$((index / MRUNNER_LINES))")
  unset MRUNNER_LINES
  [ "$line" ] || {
    echo "mrunner: cannot read the parameters of point $index" >&2
    exit 1
  }
  eval "$line"
fi

[ "$keep" != no ] || exec "$@"

# what sh starts in the background has INT and QUIT ignored, and this alone gives them back
if env --default-signal=INT,QUIT true 2>/dev/null; then
  restored=yes
else
  [ "$keep" = yes ] || exec "$@"
  restored=no
fi
for tool in date mkfifo mv rm sleep tee; do
  command -v "$tool" >/dev/null || exec "$@"
done

folder=$STORAGE_DIR/.mrunner/runs/$MRUNNER_RUN
file=$folder/$index.$pod
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
write() { # file text: whoever reads sees it whole or not at all
  printf '%s\n' "$2" >"$folder/.$index.$pod.new" && mv -f "$folder/.$index.$pod.new" "$1"
}
note() { write "$file.json" "{\"index\":$index,\"pod\":\"$pod\",$1}"; }
began="\"began\":\"$(now)\""
prepare() {
  umask 002
  mkdir -p "$folder" && { [ -e "$folder/run.json" ] || write "$folder/run.json" "$run"; } && note "$began" && : >>"$file.log"
}
(prepare) 2>/dev/null || exec "$@"

# pipes with names only for as long as it takes to have their ends
pipe=${TMPDIR:-/tmp}/mrunner.$$
mkfifo -m 600 "$pipe" "$pipe.up" 2>/dev/null || exec "$@"
exec 3<>"$pipe" 4<"$pipe" 5>"$pipe" 3>&- 3<>"$pipe.up"
rm -f "$pipe" "$pipe.up"

child='' held='' got=''
pass() { # signal: on to the experiment, once there is one
  got=yes
  if [ "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else held="$held $1"; fi
}
signals='TERM INT HUP QUIT USR1 USR2'
# shellcheck disable=SC2064
for signal in $signals; do trap "pass $signal" "$signal"; done

# an experiment may signal its whole group, and what it says then is still to be passed on
# shellcheck disable=SC2086
(trap '' $signals PIPE && echo >&3 && exec tee -a "$file.log" 3>&-) <&4 4<&- 5>&- &
tee=$!
read -r _ <&3
# the sh between env and the program is for a name with a `=` in it
[ "$restored" = no ] || set -- env --default-signal=INT,QUIT /bin/sh -c 'exec "$@"' mrunner "$@"
(exec "$@") >&5 2>&1 3>&- 4<&- 5>&- &
child=$!
exec 3>&- 4<&- 5>&-
for signal in $held; do kill -s "$signal" "$child" 2>/dev/null; done
# bash would tell of a child that a signal ended
exec 2>/dev/null

await() { # process: sets its exit code, whatever signals come meanwhile
  while :; do
    got=''
    wait "$1"
    code=$?
    [ "$got" ] || return
    kill -0 "$1" || break
  done
  # bash has collected it already and knows its end, or lost it and says -1; the others say 127 now
  wait "$1"
  again=$?
  case $again in 127 | -*) ;; *) code=$again ;; esac
}
await "$child"
result=$code
note "$began,\"ended\":\"$(now)\",\"code\":$result" &
last=$!
# what the experiment left behind may hold the pipe, or the volume may hang
(sleep 5 && kill -9 "$tee" "$last") >/dev/null &
guard=$!
await "$tee"
await "$last"
kill "$guard"
exit "$result"
