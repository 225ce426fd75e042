#!/bin/sh
# Starts the experiment in its pod: sh -c THIS mrunner PROGRAM ARG...
#
# It makes the point's folder, passes signals on to the experiment, copies what that prints and measures, and tells
# how it ended. It judges nothing: src/results reads what it copied. On the volume it keeps
#   .mrunner/runs/RUN/run.json          what the run is
#   .mrunner/runs/RUN/INDEX.POD.log     what one attempt at a point printed; where that is more than half of
#                                       $MRUNNER_KEEP_LOGS_MAX bytes, its beginning, and in
#   .mrunner/runs/RUN/INDEX.POD.log.N   its end, at least as much
#   .mrunner/runs/RUN/INDEX.POD.json    a line of JSON: when it began and ended, how, parameters, how many bytes it
#                                       printed; behind that what it measured as it wrote it, if that has 64 KiB
# The container's last message is, of each point, the line
#   $MRUNNER_MARK INDEX CODE ENDED PRINTED KIND TOTAL BYTES
# CODE is the exit code, but 143 instead of 0 for what did not end by itself; ENDED is `exit`, `told` (by a signal
# from outside) or `limit` (its time). KIND is `file` for metrics.json, `lines` for printed lines with `mrunner: ` in
# them, `unkept` if nobody knows what was printed, as no log is kept, or `-`; TOTAL is how many bytes these have; BYTES
# are they themselves, with \036 for a line feed: of a file all or none, of lines the last ones, as far as there is
# room. The cluster keeps 4 KiB. Behind it, if the point failed, comes the end of the log.
#
# sh stays the experiment's parent, whatever is missing in the image: an experiment that is told to end may say 0,
# and has not done its work.
#
# For dash, bash and busybox. Lines that begin with `#` are not sent, await.sh comes first.
# shellcheck disable=SC2034,SC2086,SC2154

mkdir -p "$MRUNNER_OUTPUT" || {
  echo "mrunner: cannot make the folder $MRUNNER_OUTPUT in the storage" >&2
  exit 1
}
keep=$MRUNNER_KEEP_LOGS pod=$MRUNNER_POD run=$MRUNNER_RECORD index=$JOB_COMPLETION_INDEX mark=$MRUNNER_MARK
# of a point that shares its pod with others: how long it may run, and its part of the container's last message
limit=${MRUNNER_LIMIT-} room=${MRUNNER_ROOM-} most=${MRUNNER_KEEP_LOGS_MAX-1073741824}
unset MRUNNER_KEEP_LOGS MRUNNER_KEEP_LOGS_MAX MRUNNER_POD MRUNNER_RECORD MRUNNER_MARK MRUNNER_LIMIT MRUNNER_ROOM

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

child='' held='' by=exit
pass() { # signal: on to the experiment, once there is one
  got=yes
  case $1 in USR?) ;; *) [ "$by" = limit ] || by=told ;; esac
  if [ "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else held="$held $1"; fi
}
signals='TERM INT HUP QUIT USR1 USR2'
# shellcheck disable=SC2064
for signal in $signals; do trap "pass $signal" "$signal"; done
# the clock's own
trap '[ "$by" = told ] || by=limit; pass TERM' ALRM

folder=$STORAGE_DIR/.mrunner/runs/$MRUNNER_RUN
file=$folder/$index.$pod new=$folder/.$index.$pod.new found=$folder/.$index.$pod.lines
metrics=$MRUNNER_OUTPUT/metrics.json
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
# The experiment can put links, devices and FIFOs in the place of these files: none is read or written.
is_file() { [ -f "$1" ] && [ ! -L "$1" ]; }
write() { # file: whoever reads sees it whole or not at all
  [ ! -d "$1" ] || rm -rf "$1"
  mv -f "$new" "$1"
}
head="{\"index\":$index,\"pod\":\"$pod\""
case ${MRUNNER_PARAMS-} in '{"'*'}') params=",\"params\":$MRUNNER_PARAMS" ;; *) params='' ;; esac
prepare() {
  umask 002
  is_file "$file.log" || rm -rf "$file.log"
  rm -rf "$new"
  mkdir -p "$folder" && { [ -e "$folder/run.json" ] || { printf '%s\n' "$run" >"$new" && write "$folder/run.json"; }; } &&
    printf '%s\n' "$head$began$params}" >"$new" && write "$file.json" && : >>"$file.log"
}
record='' log=''
if [ "$keep" != no ] && began=",\"began\":\"$(now)\"" && (prepare); then
  record=yes
  # a pipe has a name only for as long as it takes to have its ends; not every file system can be written
  for pipe in "${TMPDIR:-/tmp}" /dev/shm "$folder"; do
    pipe=$pipe/.mrunner.$pod.$index.$$
    if dd count=0 </dev/null && tee </dev/null && [ -e /dev/fd/0 ] && mkfifo -m 600 "$pipe" "$pipe.up"; then
      exec 3<>"$pipe" 4<"$pipe" 5>"$pipe" 3>&- 3<>"$pipe.up"
      log=yes
    fi
    rm -f "$pipe" "$pipe.up"
    [ ! "$log" ] || break
  done
fi 2>/dev/null
# What an earlier attempt measured is not this one's: a file of this moment tells them apart. It is on the same volume,
# as the times of two file systems can't be compared.
older=''
if [ -e "$metrics" ] || [ -L "$metrics" ]; then
  older=$MRUNNER_OUTPUT/.mrunner.began
  if [ "$record" ]; then older=$file.json; else rm -rf "$older"; fi
  (: >>"$older") || older=none
fi 2>/dev/null

keep() { # what comes, as it comes: a first half, then ten parts of the last half, and the one that grows
  size=$(wc -c <"$file.log") part=0 to=$file.log end=$((most / 2)) reads=$((most / 5242880 + 1))
  size=${size:-0}
  exec 6>>"$to"
  while left=$((end > size ? (end - size + 65535) / 65536 : 1)) &&
    dd bs=65536 count=$((left < reads ? left : reads)) >&6; do
    is_file "$to" || break
    was=$size size=$(wc -c <"$to")
    [ "$size" -gt "$was" ] || break
    [ "$size" -ge "$end" ] || continue
    part=$((part + 1)) size=0 end=$((most / 20))
    to=$file.log.$part
    rm -rf "$file.log.$((part - 11))" "$to"
    command exec 6>"$to" || break
  done
  # where there is no room for more, the rest is passed over
  cat >/dev/null
  echo "$part"
}
copy() { # to the container's own output, to the volume, and to who counts
  trap '' $signals PIPE
  { { /bin/sh -c 'echo $$ >&3; exec tee /dev/fd/6 /dev/fd/7 3>&-' 7>&1 >&8 | wc -c >&3; } 6>&1 | keep >&3; } 8>&1
}
part=0 printed=-
if [ "$log" ]; then
  (copy) <&4 4<&- 5>&- 2>/dev/null &
  copier=$!
  read -r tee <&3
  lead "$@" </dev/null >&5 2>&1 3>&- 4<&- 5>&-
else
  lead "$@" </dev/null
fi
child=$!
clock=''
if [ "$limit" ]; then
  [ "$log" ] || exec 5>&1
  # shellcheck disable=SC2016
  lead /bin/sh -c 'sleep "$1" >/dev/null 2>&1 && echo "mrunner: its time limit of $1 s has passed" &&
    kill -s ALRM "$2" && exec >/dev/null 2>&1 && sleep 30 && kill -9 "$3"' mrunner "$limit" $$ "$child" >&5 3>&- 4<&- 5>&-
  clock=$!
fi
[ ! "$log" ] || exec 4<&-
exec 5>&- 2>/dev/null
for signal in $held; do kill -s "$signal" "$child"; done

within() { # seconds command...: ends it after these, as the volume may hang
  limit=$1
  shift
  "$@" >/dev/null &
  late "$limit" $!
}
late() { # seconds process...: waits for the last one, and ends them after these
  # shellcheck disable=SC2016
  lead /bin/sh -c 'sleep "$1" && shift && for p; do kill -9 "$p" && sleep 1; done' mrunner "$@" </dev/null >/dev/null 3>&-
  guard=$!
  shift $(($# - 1))
  await "$1"
  end "$guard"
}
lines() { # what was printed behind the mark of metrics; of lines that differ in numbers alone the last
  LC_ALL=C width=65536
  export LC_ALL
  # busybox takes no more
  fold -b -w "$width" </dev/null || width=10000
  for log; do
    # what comes before the parts that are gone ends within a line
    [ "$part" -le 11 ] || [ "$log" != "$file.log.$((part - 10))" ] || printf 'mrunner: \n'
    cat "$log"
  done | tr '\000\r' '\n\n' | fold -b -w "$width" | grep -F 'mrunner: ' | awk '
    function pass(i) { for (i = 1; i <= n; i++) if (i in line) print line[i]; split("", line); split("", at); n = held = 0 }
    { sub(/.*mrunner: /, ""); kind = $0 }
    !/[{]/ { next }
    !/\\/ { gsub(/": *-?([0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?|NaN|Infinity)/, "\":0", kind) }
    kind in at { delete line[at[kind]] }
    !(kind in at) { held += length(kind) + length($0) }
    { line[at[kind] = ++n] = "mrunner: " $0; if (held > 1048576) pass() }
    END { pass() }' >"$found"
}
give() { # bytes that there is room for: what was measured
  case $kind$size in
  file*) [ "$size" -gt "$1" ] || head -c "$size" "$metrics" ;;
  lines[0-9]*) if [ "$size" -gt "$1" ]; then tail -c "$1" "$found" | sed 1d; else cat "$found"; fi ;;
  esac
}
report() { # files of the log, the last one last
  umask 002
  rm -rf "$new" "$found"
  kind=- size=-
  # shellcheck disable=SC3013 # dash, bash and busybox have -nt
  if [ -f "$metrics" ] && [ "$older" != none ] && ! [ "$older" -nt "$metrics" ]; then
    kind=file size=$(wc -c <"$metrics")
  elif [ ! "$log" ] || [ $# = 0 ]; then
    [ "$printed" = 0 ] || kind=unkept
  elif [ "$printed" != 0 ]; then
    within 10 lines "$@"
    if [ "$code" != 0 ]; then
      kind=lines
    elif [ -s "$found" ]; then
      kind=lines size=$(wc -c <"$found")
    fi
  fi
  if [ "$record" ]; then
    case $printed in -) ;; *) params=",\"printed\":$printed$params" ;; esac
    case $kind in -) ;; *) params="$params,\"metrics_from\":\"$kind\"" ;; esac
    case $size in -) ;; *) params="$params,\"metrics_size\":$size" ;; esac
    {
      printf '%s\n' "$head$began,\"ended\":\"$ended\",\"code\":$result,\"ended_by\":\"$ended_by\"$params}"
      give 65536
    } >"$new" && write "$file.json"
  fi
  [ -w /dev/termination-log ] || return
  words=''
  if [ "$result" != 0 ] && [ ! "$room" ]; then
    # where a container that failed left no message, the cluster takes the end of its log
    [ "$log" ] || [ "$kind" = file ] || return
    words=yes room=3000
  fi
  told="$mark $index $result $ended_by $printed $kind $size"
  {
    [ ! -s /dev/termination-log ] || echo
    printf '%s ' "$told"
    give $((${room:-4096} - ${#told} - 3)) | tr '\n' '\036'
    echo
    shift $(($# > 2 ? $# - 2 : 0))
    [ ! "$words" ] || for log; do tail -c 1000 "$log"; done | tail -c 1000
  } >>/dev/termination-log
  rm -f "$found"
}

await "$child"
result=$code ended_by=$by leader=$child child='' ended=$(now)
[ "$ended_by" = exit ] || [ "$result" != 0 ] || result=143
[ ! "$clock" ] || end "$clock"
if [ "$log" ]; then
  # what was left behind may hold the pipe
  late 5 "$tee" "$copier"
  printf '\n\n' >&3
  read -r printed <&3
  read -r part <&3
  case $printed in *[!0-9]* | '') printed=- ;; esac
  part=${part:-0}
fi
set --
! is_file "$file.log" || set -- "$file.log"
n=$((part > 11 ? part - 10 : 1))
while [ "$n" -le "$part" ]; do
  ! is_file "$file.log.$n" || set -- "$@" "$file.log.$n"
  n=$((n + 1))
done
within 15 report "$@"
[ "$older" != "$MRUNNER_OUTPUT/.mrunner.began" ] || rm -rf "$older" 2>/dev/null
# what the experiment left behind goes with it; in a pod of several points also what left its group, by its
# variables, where grep reads those
kill -9 "-$leader"
if [ "$room" ]; then
  # shellcheck disable=SC2046 # paths below /proc have no blanks
  set -- $(grep -lzxF "MRUNNER_OUTPUT=$MRUNNER_OUTPUT" /proc/[0-9]*/environ)
  # these are the wrapper's own, and those of `kubectl exec`
  [ $# = 0 ] || for process in $(grep -L MRUNNER_MARK "$@"); do
    process=${process#/proc/}
    kill -9 "${process%/environ}"
  done
fi
exit "$result"
