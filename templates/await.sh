# What wrapper.sh and pack.sh begin with.
# shellcheck shell=sh disable=SC2034

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
