#!/bin/sh
# Starts the experiment in its pod: sh THIS PROGRAM ARG..., or for a single run sh -c THIS mrunner PROGRAM ARG...
#
# It creates the folder of the point, forwards signals to the experiment, copies what the experiment prints and measures,
# and reports how it ended. It does not judge metrics: src/runs/results reads what it copied. Files on the volume:
#   .mrunner/runs/RUN/run.json          the run
#   .mrunner/runs/RUN/INDEX.POD.log     the output of one attempt at a point; if it is longer than half of
#                                       $MRUNNER_KEEP_LOGS_MAX bytes, the first half
#   .mrunner/runs/RUN/INDEX.POD.log.N   the end of a long output, at least as many bytes
#   .mrunner/runs/RUN/INDEX.POD.json    one line of JSON: times, exit code, parameters, number of bytes printed; then the
#                                       metrics as they were written, at most 64 KiB
# The termination message of the container has this line for each point:
#   $MRUNNER_MARK INDEX CODE ENDED PRINTED KIND TOTAL BYTES
# CODE is the exit code, but 143 in place of 0 if the experiment was ended. ENDED is `exit`, `told` (a signal from outside)
# or `limit` (the time limit). PRINTED is the number of bytes printed, or `-`. KIND is the source of the metrics: `file`
# (metrics.json), `lines` (printed lines with `mrunner: `), `unkept` (unknown, because no log is kept), `record` (pack.sh:
# they are in the record) or `-`. TOTAL is their number of bytes. BYTES are the metrics, with \036 for each line feed: a file
# whole or not at all, of lines the last ones that fit. Kubernetes keeps 4 KiB. If the point failed, the end of its log follows.
#
# sh stays the parent of the experiment in any image, because an experiment that is ended may exit with 0 without having
# done its work.
#
# Runs in dash, bash and busybox. The program leaves out comments and indentation, and puts await.sh before this file.
# shellcheck disable=SC2034,SC2086,SC2154

mkdir -p "$MRUNNER_OUTPUT" || {
  echo "mrunner: cannot make the folder $MRUNNER_OUTPUT in the storage" >&2
  exit 1
}
keep=$MRUNNER_KEEP_LOGS pod=$MRUNNER_POD run=$MRUNNER_RECORD index=$JOB_COMPLETION_INDEX mark=$MRUNNER_MARK
# only if several points share the pod: the time limit, and the part of the termination message that this point may use
limit=${MRUNNER_LIMIT-} room=${MRUNNER_ROOM-} most=${MRUNNER_KEEP_LOGS_MAX-1073741824}
unset MRUNNER_KEEP_LOGS MRUNNER_KEEP_LOGS_MAX MRUNNER_POD MRUNNER_RECORD MRUNNER_MARK MRUNNER_LIMIT MRUNNER_ROOM

# sweep: the line of this point sets the arguments and MRUNNER_PARAMS
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
  export MRUNNER_PARAMS
fi

child='' held='' by=exit
# forward SIGNAL: sends it to the experiment, or keeps it until the experiment has started
forward() {
  got=yes
  case $1 in USR?) ;; *) [ "$by" = limit ] || by=told ;; esac
  if [ "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else held="$held $1"; fi
}
signals='TERM INT HUP QUIT USR1 USR2'
# shellcheck disable=SC2064
for signal in $signals; do trap "forward $signal" "$signal"; done
# sent by the process that watches the time limit
trap '[ "$by" = told ] || by=limit; forward TERM' ALRM

folder=$STORAGE_DIR/.mrunner/runs/$MRUNNER_RUN
file=$folder/$index.$pod new=$folder/.$index.$pod.new found=$folder/.$index.$pod.lines
metrics=$MRUNNER_OUTPUT/metrics.json
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
# The experiment can replace these files by links, devices and FIFOs. None of those is read or written.
is_file() { [ -f "$1" ] && [ ! -L "$1" ]; }
# write FILE: renames $new, so that readers see all of the file or nothing
write() {
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
  # the names of the pipes are removed once both ends are open; some of these folders may be read-only
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
# Metrics of an earlier attempt do not count: they are not newer than a file that is created now. That file is on the same
# volume, because the clocks of two file systems may differ.
older=''
if [ -e "$metrics" ] || [ -L "$metrics" ]; then
  older=$MRUNNER_OUTPUT/.mrunner.began
  if [ "$record" ]; then older=$file.json; else rm -rf "$older"; fi
  (: >>"$older") || older=none
fi 2>/dev/null

# Writes standard input to the log: one file with the first half, then a ring of files with the last half: ten full ones and
# the one that is written.
keep_log() {
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
  # if a file cannot be written, skip the rest
  cat >/dev/null
  echo "$part"
}
# Copies standard input to the output of the container, to the volume, and to `wc`.
copy_output() {
  trap '' $signals PIPE
  { { /bin/sh -c 'echo $$ >&3; exec tee /dev/fd/6 /dev/fd/7 3>&-' 7>&1 >&8 | wc -c >&3; } 6>&1 | keep_log >&3; } 8>&1
}
part=0 printed=-
if [ "$log" ]; then
  (copy_output) <&4 4<&- 5>&- 2>/dev/null &
  copier=$!
  read -r tee <&3
  start "$@" </dev/null >&5 2>&1 3>&- 4<&- 5>&-
else
  start "$@" </dev/null
fi
child=$!
clock=''
if [ "$limit" ]; then
  [ "$log" ] || exec 5>&1
  # shellcheck disable=SC2016
  start /bin/sh -c 'sleep "$1" >/dev/null 2>&1 && echo "mrunner: its time limit of $1 s has passed" &&
    kill -s ALRM "$2" && exec >/dev/null 2>&1 && sleep 30 && kill -9 "$3"' mrunner "$limit" $$ "$child" >&5 3>&- 4<&- 5>&-
  clock=$!
fi
[ ! "$log" ] || exec 4<&-
exec 5>&- 2>/dev/null
for signal in $held; do kill -s "$signal" "$child"; done

# run_within SECONDS COMMAND...: kills the command after that time, because the volume may hang
run_within() {
  limit=$1
  shift
  "$@" >/dev/null &
  await_within "$limit" $!
}
# await_within SECONDS PID...: waits for the last process, and kills all of them after that time
await_within() {
  # shellcheck disable=SC2016
  start /bin/sh -c 'sleep "$1" && shift && for p; do kill -9 "$p" && sleep 1; done' mrunner "$@" </dev/null >/dev/null 3>&-
  guard=$!
  shift $(($# - 1))
  await "$1"
  kill_group "$guard"
}
# Writes the printed metrics to $found. Of lines that differ only in numbers it keeps the last one: a script that prints a
# line for each epoch would otherwise leave no room for its other metrics in the 4 KiB of the termination message and the
# 64 KiB of the record.
find_metrics() {
  LC_ALL=C width=65536
  export LC_ALL
  # the limit of some versions of busybox
  fold -b -w "$width" </dev/null || width=10000
  for log; do
    # the line before a missing part is cut off
    [ "$part" -le 11 ] || [ "$log" != "$file.log.$((part - 10))" ] || printf 'mrunner: \n'
    cat "$log"
  done | tr '\000\r' '\n\n' | fold -b -w "$width" | grep -F 'mrunner: ' | awk '
    function print_all(i) { for (i = 1; i <= n; i++) if (i in line) print line[i]; split("", line); split("", at); n = held = 0 }
    { sub(/.*mrunner: /, ""); kind = $0 }
    !/[{]/ { next }
    !/\\/ { gsub(/": *-?([0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?|NaN|Infinity)/, "\":0", kind) }
    kind in at { delete line[at[kind]] }
    !(kind in at) { held += length(kind) + length($0) }
    { line[at[kind] = ++n] = "mrunner: " $0; if (held > 1048576) print_all() }
    END { print_all() }' >"$found"
}
# print_metrics BYTES: the metrics, at most that many bytes
print_metrics() {
  case $kind$size in
  file*) [ "$size" -gt "$1" ] || head -c "$size" "$metrics" ;;
  lines[0-9]*) if [ "$size" -gt "$1" ]; then tail -c "$1" "$found" | sed 1d; else cat "$found"; fi ;;
  esac
}
# report LOG...: writes the record and the termination message
report() {
  umask 002
  rm -rf "$new" "$found"
  kind=- size=-
  # shellcheck disable=SC3013 # dash, bash and busybox have -nt
  if [ -f "$metrics" ] && [ "$older" != none ] && ! [ "$older" -nt "$metrics" ]; then
    kind=file size=$(wc -c <"$metrics")
  elif [ ! "$log" ] || [ $# = 0 ]; then
    [ "$printed" = 0 ] || kind=unkept
  elif [ "$printed" != 0 ]; then
    run_within 10 find_metrics "$@"
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
      print_metrics 65536
    } >"$new" && write "$file.json"
  fi
  [ -w /dev/termination-log ] || return
  words=''
  if [ "$result" != 0 ] && [ ! "$room" ]; then
    # without a message of a failed container, Kubernetes takes the end of its log
    [ "$log" ] || [ "$kind" = file ] || return
    words=yes room=3000
  fi
  told="$mark $index $result $ended_by $printed $kind $size"
  {
    [ ! -s /dev/termination-log ] || echo
    printf '%s ' "$told"
    print_metrics $((${room:-4096} - ${#told} - 3)) | tr '\n' '\036'
    echo
    shift $(($# > 2 ? $# - 2 : 0))
    [ ! "$words" ] || for log; do tail -c 1000 "$log"; done | tail -c 1000
  } >>/dev/termination-log
  rm -f "$found"
}

await "$child"
result=$code ended_by=$by leader=$child child='' ended=$(now)
[ "$ended_by" = exit ] || [ "$result" != 0 ] || result=143
[ ! "$clock" ] || kill_group "$clock"
if [ "$log" ]; then
  # processes that the experiment left behind may keep the pipe open
  await_within 5 "$tee" "$copier"
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
run_within 15 report "$@"
[ "$older" != "$MRUNNER_OUTPUT/.mrunner.began" ] || rm -rf "$older" 2>/dev/null
# Kills the processes that the experiment left behind. If several points share the pod, also those outside its group: their
# environment has the output folder of this point, if grep can read it.
kill -9 "-$leader"
if [ "$room" ]; then
  # shellcheck disable=SC2046 # paths below /proc have no blanks
  set -- $(grep -lzxF "MRUNNER_OUTPUT=$MRUNNER_OUTPUT" /proc/[0-9]*/environ)
  # all but the wrapper and the processes of `kubectl exec`
  [ $# = 0 ] || for process in $(grep -L MRUNNER_MARK "$@"); do
    process=${process#/proc/}
    kill -9 "${process%/environ}"
  done
fi
exit "$result"
