# Completion of kubectl-mrunner for fish: kubectl-mrunner completion fish | source
# `kubectl mrunner` is completed by kubectl's own script and `kubectl mrunner completion install`.
function __kubectl_mrunner
    set -l words (commandline -opc) (commandline -ct)
    set -l files 1
    for line in (command $words[1] __complete $words[2..-1] 2>/dev/null)
        switch $line
            case ':4'
                set files 0
            case ':*'
            case '*'
                echo $line
        end
    end
    if test $files = 1
        __fish_complete_path (commandline -ct)
    end
end
complete -c kubectl-mrunner -f -a '(__kubectl_mrunner)'
