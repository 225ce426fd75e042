//! Secrets and the image.

use super::{CANARY, assert_hidden, world};

#[test]
fn the_build_reads_a_secret_from_the_environment_and_no_layer_has_it() {
    let world = world();
    world.write("vision/r.txt", "--extra-index-url https://x:${HF_TOKEN}@index.test/simple\nnumpy\n");
    let args = ["run", "--build-secret", "HF_TOKEN", "--build-secret", "HF_TOKEN", "--requirements", "r.txt"];
    world.run(&[&args[..], &["train.py"]].concat()).ok();
    let build = world.calls_with(" buildx build ");
    assert!(build[0].line().contains(" --secret id=HF_TOKEN,env=HF_TOKEN "), "{}", build[0].line());
    let dockerfile = String::from_utf8_lossy(&build[0].stdin).into_owned();
    assert_eq!(dockerfile.matches("--mount=type=secret,id=HF_TOKEN,required=true ").count(), 1, "{dockerfile}");
    assert_eq!(world.job()["spec"].get("suspend"), None);
    assert_hidden(&world, 0);
}

#[test]
fn a_file_of_variables_is_no_part_of_the_image_whatever_its_name() {
    for name in [".env", "sub/my.env", "a [b]*{c}!#?.env ", "\\x", "é"] {
        let world = world();
        world.write(&format!("vision/{name}"), format!("A={CANARY}\n"));
        world.write("vision/sub/other.env", "not named\n");
        world.write("vision/.mrunnerignore", "!.env\n!*.env\n");
        std::os::unix::fs::symlink(name, world.path("vision/link.env")).unwrap();
        let names = [name.to_owned(), format!("./{name}"), format!("sub/../{name}"), "link.env".to_owned()];
        for file in names.into_iter().chain([world.path(&format!("vision/{name}")).display().to_string()]) {
            world.run(&["run", "--env-file", &file, "train.py"]).ok();
        }
        let builds = world.calls_with(" buildx build ");
        assert_eq!(builds.len(), 5);
        for build in builds {
            let sent = String::from_utf8_lossy(&build.stdin).into_owned();
            assert!(!sent.contains("ary\"$(id)") && sent.contains("not named"), "{name:?}: {}", build.line());
        }
    }
}
