#!/bin/sh
# Starts the experiment in its pod: sh -c THIS mrunner PROGRAM ARG...
#
# It makes the point's folder, and keeps on the volume what the experiment prints and how it ended:
#   .mrunner/runs/RUN/run.json          what the run is
#   .mrunner/runs/RUN/INDEX.POD.log     what one attempt at a point printed
#   .mrunner/runs/RUN/INDEX.POD.json    when it began and ended, exit code, parameters and metrics
# Metrics are the JSON object in $MRUNNER_OUTPUT/metrics.json, or the last of its lines, else that in the
# last line `mrunner: {...}` of what it printed; what is no number in JSON, as NaN, is a text. They also are
# the container's termination message, in which the cluster keeps 4 KiB, before the end of the log if the
# point failed. A pod of several points has a line for each.
# Signals, exit code and output stay the experiment's own. Where that can't be, or where anything is
# missing, sh becomes the experiment and keeps nothing.
#
# For dash, bash and busybox. Lines that begin with `#` are not sent, await.sh comes first.
# shellcheck disable=SC2093,SC2034,SC2154

mkdir -p "$MRUNNER_OUTPUT" || {
  echo "mrunner: cannot make the folder $MRUNNER_OUTPUT in the storage" >&2
  exit 1
}
keep=$MRUNNER_KEEP_LOGS pod=$MRUNNER_POD run=$MRUNNER_RECORD index=$JOB_COMPLETION_INDEX
# of a point that shares its pod with others: how long it may run, and its part of the termination message
limit=${MRUNNER_LIMIT-} room=${MRUNNER_ROOM-}
unset MRUNNER_KEEP_LOGS MRUNNER_POD MRUNNER_RECORD MRUNNER_LIMIT MRUNNER_ROOM

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
case ${MRUNNER_PARAMS-} in '{"'*'}') params=",\"params\":$MRUNNER_PARAMS" ;; *) params='' ;; esac
began="\"began\":\"$(now)\""
prepare() {
  umask 002
  mkdir -p "$folder" && { [ -e "$folder/run.json" ] || write "$folder/run.json" "$run"; } && note "$began$params" && : >>"$file.log"
}
(prepare) 2>/dev/null || exec "$@"

# pipes with names only for as long as it takes to have their ends
pipe=${TMPDIR:-/tmp}/mrunner.$$
mkfifo -m 600 "$pipe" "$pipe.up" 2>/dev/null || exec "$@"
exec 3<>"$pipe" 4<"$pipe" 5>"$pipe" 3>&- 3<>"$pipe.up"
rm -f "$pipe" "$pipe.up"

child='' held=''
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
clock=''
if [ "$limit" ]; then
  (sleep "$limit" >/dev/null 2>&1 && echo "mrunner: its time limit of $limit s has passed" &&
    kill -s TERM "$child" && sleep 30 >/dev/null 2>&1 && kill -9 "$child") >&5 2>/dev/null 3>&- 4<&- 5>&- &
  clock=$!
fi
exec 3>&- 4<&- 5>&-
for signal in $held; do kill -s "$signal" "$child" 2>/dev/null; done
# bash would tell of a child that a signal ended
exec 2>/dev/null

# Reads what may be JSON, and prints how many bytes the object in it has, then the object, in one line.
# `mark` is what its line begins with; without one, the whole may be the object, or the last line. Of
# more bytes than `most`, what is read is the end.
# shellcheck disable=SC2016
json='
function outside(text) { gsub(/-?Infinity|NaN/, "\"&\"", text); return text }
function finite(text,  all) {
  if (text !~ /NaN|Infinity/) return text
  for (all = ""; match(text, string); text = substr(text, RSTART + RLENGTH))
    all = all outside(substr(text, 1, RSTART - 1)) substr(text, RSTART, RLENGTH)
  return all outside(text)
}
function sound(text,  n, i, parts) {
  if (text !~ /^ *[{]/) return 0
  gsub(string, "\"\"", text)
  n = split(text, parts, /[][{}:, ]+/)
  for (i = 1; i <= n; i++)
    if (parts[i] !~ /^(""|true|false|null)?$/)
      if (parts[i] !~ number || parts[i] + 0 > huge || parts[i] + 0 < -huge) return 0
  if (text ~ /[^][{}:, ] +[^][{}:, ]/) return 0
  gsub(/ +/, "", text)
  gsub(/[^][{}:,"]+/, "0", text)
  value = "(0|\"\")"; pair = "\"\":" value
  for (i = 0; i < 64 && text != "0"; i++)
    if (!gsub("[[](" value "(," value ")*)?[]]|[{](" pair "(," pair ")*)?[}]", "0", text)) return 0
  return text == "0"
}
function tell(text) {
  text = finite(text)
  sub(/ +$/, "", text)
  if (sound(text)) { print length(text), text; return 1 }
}
BEGIN {
  h = "[0-9a-fA-F]"; u = "\\\\u"
  escape = "\\\\[\"\\\\/bfnrt]|" u "([0-9abcefABCEF]" h "|[dD][0-7])" h h "|" u "[dD][89abAB]" h h u "[dD][c-fC-F]" h h
  string = "\"([^\"\\\\\001-\037]|" escape ")*\""
  huge = 1.7976931348623157e308
  number = "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?$"
}
{ read += length($0) + 1; sub(/\r$/, "") }
mark { sub(/^.*\r/, ""); if (index($0, mark) != 1) next; $0 = substr($0, length(mark) + 1) }
{ gsub(/[\t\r]/, " "); cut = NR == 1; whole = whole $0 " " }
/[^ ]/ { last = $0; first = cut }
END {
  # what is read may begin within a line
  if (!mark && read <= most && tell(whole)) exit
  if (mark || read <= most || !first) tell(last)
}'
metrics() {
  LC_ALL=C
  export LC_ALL
  if [ -f "$MRUNNER_OUTPUT/metrics.json" ]; then
    tail -c 65537 "$MRUNNER_OUTPUT/metrics.json" | awk -v most=65536 "$json"
  elif [ -f "$file.log" ]; then
    tail -c 1048576 "$file.log" | awk -v mark='mrunner: ' "$json"
  fi
}
words() { # what the log ends with, in whole lines
  LC_ALL=C tail -c 1000 "$file.log" | LC_ALL=C awk '{ n += length($0) + 1; line[NR] = $0 }
    END { for (i = n < 1000 ? 1 : 2; i <= NR; i++) print line[i] }'
}
report() { # keeps the metrics with the record, and tells the cluster
  found=$(metrics)
  case $found in [0-9]*' {'*'}') ;; *) found='' ;; esac
  size=${found%% *} found=${found#* }
  [ -z "$found" ] || note "$ended,\"metrics\":$found"
  last=no
  if [ "$result" != 0 ] && [ -z "$room" ]; then
    # where a container that failed left no message, the cluster takes the end of its log
    [ "$found" ] || return
    last=yes room=3000
  fi
  [ -w /dev/termination-log ] || return
  told="{\"index\":$index,\"code\":$result"
  if [ -z "$found" ]; then
    told="$told}"
  elif [ $((${#told} + size + 13)) -le "${room:-4096}" ]; then
    told="$told,\"metrics\":$found}"
  else
    told="$told,\"more\":true}"
  fi
  printf '%s\n' "$told" >>/dev/termination-log
  [ "$last" = no ] || words >>/dev/termination-log
}
in_time() { # process...: waits for these, as the volume may hang, or what was left behind may hold the pipe
  (sleep 5 && kill -9 "$@") >/dev/null &
  guard=$!
  for process; do await "$process"; done
  kill "$guard"
}
await "$child"
result=$code
[ -z "$clock" ] || kill "$clock"
ended="$began,\"ended\":\"$(now)\",\"code\":$result$params"
note "$ended" &
in_time "$tee" "$!"
report >/dev/null &
in_time "$!"
exit "$result"
