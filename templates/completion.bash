# Completion of kubectl-mrunner for bash: source it, such as from ~/.bashrc.
# `kubectl mrunner` is completed by kubectl's own script and `kubectl mrunner completion install`.
_kubectl_mrunner() {
  local line files=1 candidates=()
  while IFS= read -r line; do
    case $line in
    :*) [[ $line == :4 ]] && files=0 ;;
    *) candidates+=("${line%%$'\t'*}") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  local current=${COMP_WORDS[COMP_CWORD]}
  for line in "${candidates[@]}"; do
    [[ $line != "$current"* ]] || COMPREPLY+=("$(printf '%q' "$line")")
  done
  if ((files)); then
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _kubectl_mrunner kubectl-mrunner
