//! Errors of the registry.

use super::{BUILD, INSPECT, refused};
use crate::support::{HANG, World};

#[test]
fn the_registry_is_down() {
    refused(INSPECT, r#"ERROR: failed to do request: Head "http://registry.test:5000/v2/vision/train/manifests/t-1": dial tcp 127.0.0.1:5000: connect: connection refused"#).fails(1, r#"error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker buildx imagetools inspect --raw registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | ERROR: failed to do request: Head "http://registry.test:5000/v2/vision/train/manifests/t-1": dial tcp 127.0.0.1:5000: connect: connection refused
hint: is the registry `registry.test:5000` up, and its address right?
"#);
}

#[test]
fn the_registry_wants_a_login() {
    refused(INSPECT, "ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 401 Unauthorized").fails(1, "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker manifest inspect --verbose --insecure registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 401 Unauthorized
hint: log in with `docker login registry.test:5000`
");
}

#[test]
fn the_registry_is_broken() {
    refused(INSPECT, "ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 503 Service Unavailable").fails(1, "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker buildx imagetools inspect --raw registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 503 Service Unavailable
hint: try `docker login registry.test:5000`
");
}

#[test]
fn the_registry_never_answers() {
    let mut world = World::new();
    world.on(INSPECT, HANG).env("MRUNNER_TEST_PATIENCE", "0.02");
    world.run(&["run", "train.py"]).fails(
        1,
        "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker manifest inspect --verbose --insecure registry.test:5000/vision/train:t-[KEY]
  | no answer in 60 s
hint: is the registry `registry.test:5000` up, and its address right?
",
    );
}

#[test]
fn the_registry_refuses_the_image() {
    refused(BUILD, "#5 pushing registry.test:5000/vision/train:t-1 with docker\n#5 ERROR: Get \"http://registry.test:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused\nERROR: failed to build: Get \"http://registry.test:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused").fails(1, r#"context   lab (kube context kube-lab), namespace vision
project   `vision` is new, and named after the folder; `--project NAME` names another
storage   a new claim `storage` of 40G: ReadWriteOnce of the default class `standard`, on one node
image     registry.test:5000/vision/train:t-[KEY], to be built
  $ docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
#5 pushing registry.test:5000/vision/train:t-1 with docker
#5 ERROR: Get "http://registry.test:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused
ERROR: failed to build: Get "http://registry.test:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused
error: failed to build and publish the image
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
  exit status: 1
hint: the words above are docker's; if the registry refused the image, `docker login registry.test:5000`
"#);
}

#[test]
fn the_base_image_is_missing() {
    refused(BUILD, "#3 [internal] load metadata for registry.test:5000/python:nope\n#3 ERROR: registry.test:5000/python:nope: not found\nERROR: failed to build: failed to solve: registry.test:5000/python:nope: not found").fails(1, "error: failed to build and publish the image
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
  exit status: 1
hint: the words above are docker's; if the registry refused the image, `docker login registry.test:5000`
");
}
