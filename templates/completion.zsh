#compdef kubectl-mrunner
# Completion of kubectl-mrunner for zsh: source it behind `compinit`, such as from ~/.zshrc.
# `kubectl mrunner` is completed by kubectl's own script and `kubectl mrunner completion install`.
_kubectl_mrunner() {
  local line files=1
  local -a candidates
  while IFS= read -r line; do
    case $line in
    :*) [[ $line == :4 ]] && files=0 ;;
    *$'\t'*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    *) candidates+=("${line//:/\\:}") ;;
    esac
  done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#candidates )) && _describe -V kubectl-mrunner candidates
  (( files )) && _files
}
compdef _kubectl_mrunner kubectl-mrunner
