# What wrapper.sh and pack.sh begin with.
# shellcheck shell=sh disable=SC2034,SC2086

# Sets `lead`, which starts a program in the background as the leader of a process group of its own, so that what it
# sends to its group reaches nobody else, and gives back INT and QUIT, which sh ignores for what it starts so. Where
# the image has nothing for that, these stay ignored, or the group is that of sh.
sane='env --default-signal=INT,QUIT' python='import os, signal as s, sys
os.setpgid(0, 0)
for n in s.SIGINT, s.SIGQUIT, s.SIGPIPE, s.SIGXFSZ: s.signal(n, s.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])'
perl='setpgrp; delete $ENV{PERL_BADLANG}; $SIG{$_} = "DEFAULT" for "INT", "QUIT"; exec {$ARGV[0]} @ARGV'
set -m 2>/dev/null
case $- in
*m*)
  set +m
  lead() {
    set -m
    (exec "$@") &
    set +m
  }
  ;;
*)
  # the sh before the program is for a name with a `=` in it
  if setsid $sane true; then
    lead() { setsid $sane /bin/sh -c 'exec "$@"' mrunner "$@" & }
  elif python3 -ISc "$python" true; then
    lead() { python3 -ISc "$python" /bin/sh -c 'exec "$@"' mrunner "$@" & }
  elif PERL_BADLANG=0 perl -e "$perl" true; then
    lead() { PERL_BADLANG=0 perl -e "$perl" /bin/sh -c 'exec "$@"' mrunner "$@" & }
  elif setsid true; then
    lead() { setsid /bin/sh -c 'exec "$@"' mrunner "$@" & }
  else
    lead() { (exec "$@") & }
  fi 2>/dev/null
  ;;
esac
# a group, and its leader where it is none yet
end() { kill -9 "-$1" "$1" 2>/dev/null; }

got=''
await() { # process: sets its exit code, whatever signals come meanwhile; each trap says so in `got`
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
