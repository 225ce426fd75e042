//! A command that ends with whoever started it, also where that one is killed and can end nothing. Pure.

use crate::tools::cmd::Cmd;

/// Ends the command behind it when nobody holds the other end of its stdin any more.
#[cfg(unix)]
const WRAPPER: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
(read -r _ <&3; kill "$child") 2>/dev/null &
leash=$!
exec 3<&-
wait "$child"
code=$?
kill "$leash" 2>/dev/null
exit "$code""#;

/// The same command, which ends once its stdin does.
#[cfg(unix)]
pub fn ends_with_parent(cmd: &Cmd) -> Cmd {
    let mut wrapped = cmd.clone();
    let script = ["-c", WRAPPER, "sh"].map(std::ffi::OsString::from);
    wrapped.args = script.into_iter().chain([cmd.program.clone()]).chain(cmd.args.iter().cloned()).collect();
    wrapped.program = "/bin/sh".into();
    wrapped
}

/// There is no sh to hold it by.
#[cfg(not(unix))]
pub fn ends_with_parent(cmd: &Cmd) -> Cmd {
    cmd.clone()
}
