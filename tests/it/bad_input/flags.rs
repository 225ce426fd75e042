//! Wrong flags and values.

use crate::support::World;

#[test]
fn wrong_amounts_are_told() {
    let world = World::new();
    world.run(&["run", "--mem", "8GB", "train.py"]).fails(
        2,
        "error: `--mem` must be a Kubernetes quantity, not `8GB`
hint: did you mean `8G`?
",
    );
    world.run(&["run", "--mem", "8", "train.py"]).fails(
        2,
        "error: `--mem` is an amount of bytes, and `8` is less than one KiB
hint: did you mean `8G`?
",
    );
    world.run(&["run", "--cpu", "many", "train.py"]).fails(
        2,
        "error: `--cpu` must be a Kubernetes quantity, not `many`
hint: write a number and one of `m`, `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi`, `Ti`, such as `500m`, `4` or `8Gi`
",
    );
    world.run(&["run", "--gpu", "a100", "train.py"]).fails(
        2,
        "error: `--gpu` must be a number or `TYPE:NUMBER`, not `a100`
hint: did you mean `a100:1`?
",
    );
    world.run(&["run", "--cpu", "-1", "train.py"]).fails(
        2,
        "error: unexpected argument '-1' found

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
    world.run(&["run", "--gpu", "a100:2", "train.py"]).fails(
        2,
        "error: no node of the cluster can give 2 GPUs of type `a100`
  it has: neither a GPU nor a TPU
hint: see what the nodes say of themselves with `kubectl get nodes --show-labels`
",
    );
    world.run(&["run", "--time-limit", "soon", "train.py"]).fails(
        2,
        "error: `soon` is not a time
hint: write it such as `90s`, `30m`, `2h` or `1d`
",
    );
    world.run(&["run", "--time-limit", "0", "train.py"]).fails(
        2,
        "error: `0` is not a time
hint: write it such as `90s`, `30m`, `2h` or `1d`
",
    );
    world.run(&["run", "--time-limit", "10ms", "train.py"]).fails(
        2,
        "error: `10ms` is not a time
hint: write it such as `90s`, `30m`, `2h` or `1d`
",
    );
    world.run(&["run", "--retries", "1", "--no-retry-on", "0-3", "train.py"]).fails(
        2,
        "error: `0-3` is no exit code of a failure
hint: they are 1 to 255; write them such as `--no-retry-on 2,64-78`
",
    );
    world.run(&["run", "--no-retry-on", "3", "train.py"]).fails(
        2,
        "error: `--no-retry-on` says nothing, as nothing is tried again
hint: say how often, such as with `--retries 3`
",
    );
    world.run(&["run", "--max-failed", "3", "train.py"]).fails(
        2,
        "error: there is no sweep to take points of
hint: describe one, such as with `--grid lr=0.1,0.01`, `--sweep FILE`, or `sweep` in the experiment file
",
    );
    world.run(&["run", "--retries", "-1", "train.py"]).fails(
        2,
        "error: unexpected argument '-1' found

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
}

#[test]
fn wrong_images_registries_and_platforms_are_told() {
    let world = World::new();
    world.run(&["run", "--base_image", "Python:3", "train.py"]).fails(
        2,
        "error: `Python:3` is not the name of an image: `Python` has upper-case letters
hint: did you mean `python:3`?
",
    );
    world.run(&["run", "--image", "a b", "train.py"]).fails(
        2,
        "error: `a b` is not the name of an image: it contains ` `
",
    );
    world.run(&["run", "--registry", "ftp://registry.test", "train.py"]).fails(
        2,
        "error: `--registry` must be a URL with `https://` or `http://`, not `ftp://registry.test`
hint: write a URL such as `https://gcr.io` or `http://127.0.0.1:5000`
",
    );
    world.run(&["run", "--platform", "linux/amd64; rm -rf /", "train.py"]).fails(
        2,
        "error: `linux/amd64; rm -rf /` is not a platform
hint: write it such as `linux/amd64` or `linux/arm64`
",
    );
    world.run(&["run", "--storage-claim", "My Claim", "train.py"]).fails(
        2,
        "error: `My Claim` can't be the name of a claim
hint: list the claims with `kubectl get pvc -A`
",
    );
    world.run(&["run", "--storage-class", "--", "train.py"]).fails(
        2,
        "error: a value is required for '--storage-class <NAME>' but none was supplied

For more information, try '--help'.
",
    );
    world.run(&["run", "--queue", "a b", "train.py"]).fails(
        2,
        "error: `a b` can't be the name of a queue
hint: list the queues with `kubectl get localqueues -A`
",
    );
}

#[test]
fn a_wrong_flag_is_told_with_the_nearest() {
    let world = World::new();
    world.run(&["run", "--folow", "train.py"]).fails(
        2,
        "error: unexpected argument '--folow' found

  tip: a similar argument exists: '--follow'

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
    world.run(&["rum", "train.py"]).fails(
        2,
        "error: unrecognized subcommand 'rum'

  tip: a similar subcommand exists: 'run'

Usage: kubectl mrunner [OPTIONS] <COMMAND>

For more information, try '--help'.
",
    );
    world.run(&["run", "--image", "busybox", "--requirements", "r.txt", "train.py"]).fails(
        2,
        "error: the argument '--image <IMAGE>' cannot be used with '--requirements <FILE>'

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
    world.run(&["run", "--dry-run=sever", "train.py"]).fails(
        2,
        "error: invalid value 'sever' for '--dry-run[=<WHERE>]'
  [possible values: none, client, server]

  tip: a similar value exists: 'server'

For more information, try '--help'.
",
    );
    world.run(&["status", "-o", "jsn"]).fails(
        2,
        "error: invalid value 'jsn' for '--output <FORMAT>'
  [possible values: table, wide, json, yaml, name]

  tip: a similar value exists: 'json'

For more information, try '--help'.
",
    );
    assert!(world.calls().is_empty());
}
