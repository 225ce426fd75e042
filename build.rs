//! Leaves comments and indentation out of the scripts that are sent to pods, because they would make each pod larger.

use std::path::Path;
use std::{env, fs};

const SCRIPTS: [&str; 5] = ["await.sh", "helper.py", "pack.sh", "probe.sh", "wrapper.sh"];

fn main() {
    println!("cargo::rerun-if-changed=templates");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    for script in SCRIPTS {
        let text = fs::read_to_string(Path::new("templates").join(script)).expect("the script is in the package");
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        // Python needs its indentation
        let sent = |line| if script == "helper.py" { line } else { str::trim_start(line) };
        let code: String = text.lines().filter(is_code).flat_map(|line| [sent(line), "\n"]).collect();
        fs::write(Path::new(&out).join(script), code).expect("cargo makes the folder");
    }
}
