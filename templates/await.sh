# The functions that wrapper.sh and pack.sh share. The program puts this file before both.
# shellcheck shell=sh disable=SC2034,SC2086

# Defines `start`, which starts a program in the background as the leader of a new process group. Signals that the program
# sends to its group then reach no other process. `start` also restores the default handling of INT and QUIT, because sh
# ignores them for background programs. If the image has no tool for this, INT and QUIT stay ignored, or the program stays
# in the group of sh.
sane='env --default-signal=INT,QUIT' python='import os, signal as s, sys
os.setpgid(0, 0)
for n in s.SIGINT, s.SIGQUIT, s.SIGPIPE, s.SIGXFSZ: s.signal(n, s.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])'
perl='setpgrp; delete $ENV{PERL_BADLANG}; $SIG{$_} = "DEFAULT" for "INT", "QUIT"; exec {$ARGV[0]} @ARGV'
set -m 2>/dev/null
case $- in
*m*)
  set +m
  start() {
    set -m
    (exec "$@") &
    set +m
  }
  ;;
*)
  # `env` takes the name of a program for a variable if it contains `=`, so sh starts the program
  if setsid $sane true; then
    start() { setsid $sane /bin/sh -c 'exec "$@"' mrunner "$@" & }
  elif python3 -ISc "$python" true; then
    start() { python3 -ISc "$python" /bin/sh -c 'exec "$@"' mrunner "$@" & }
  elif PERL_BADLANG=0 perl -e "$perl" true; then
    start() { PERL_BADLANG=0 perl -e "$perl" /bin/sh -c 'exec "$@"' mrunner "$@" & }
  elif setsid true; then
    start() { setsid /bin/sh -c 'exec "$@"' mrunner "$@" & }
  else
    start() { (exec "$@") & }
  fi 2>/dev/null
  ;;
esac
# kill_group PID: also the process itself, in case its group does not exist yet
kill_group() { kill -9 "-$1" "$1" 2>/dev/null; }

got=''
# await PID: waits for a process and sets `code` to its exit code. A trap ends `wait` early and sets `got`.
await() {
  while :; do
    got=''
    wait "$1"
    code=$?
    [ "$got" ] || return
    kill -0 "$1" || break
  done
  # bash still has the exit code or returns -1; other shells return 127 if `wait` has collected the process already
  wait "$1"
  again=$?
  case $again in 127 | -*) ;; *) code=$again ;; esac
}
