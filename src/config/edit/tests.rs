use super::*;

const FILE: &str = "\
# my clusters
current_context: lab   # the usual one

contexts:
  # the big one
  lab:
    name: lab
    type: kubernetes   # always
    storage: /storage
    registry_url: https://gcr.io

    resources:
      cpu: 4
    # spare
  # the small one
  'odd: #name':
    type: kubernetes
    storage: /s
    tags: [a,   b]   # kept

# the end
";

fn changed(text: &str, with: &Change) -> String {
    change(text, Path::new("c.yaml"), with).unwrap_or_else(|fail| panic!("{with:?}: {fail} {:?}", fail.hints)).0
}

fn refused(text: &str, with: &Change) -> String {
    let fail = change(text, Path::new("c.yaml"), with).map(|(text, _)| panic!("{text}")).unwrap_err();
    format!("{}; {}", fail.message, fail.hints.join("; "))
}

#[test]
fn only_the_touched_line_changes() {
    let used = changed(FILE, &Change::Use("odd: #name"));
    assert_eq!(used, FILE.replace("context: lab   #", "context: \"odd: #name\" #"));
    assert_eq!(
        changed("contexts:\n  a: {type: kubernetes, storage: /s}\n", &Change::Use("a")),
        "current_context: a\ncontexts:\n  a: {type: kubernetes, storage: /s}\n"
    );
    let set = changed(FILE, &Change::Set("lab", "storage", Some("/data")));
    assert_eq!(set, FILE.replace("storage: /storage", "storage: /data"));
    let set = changed(FILE, &Change::Set("lab", "resources", Some("{cpu: 2}")));
    assert_eq!(set, FILE.replace("resources:\n      cpu: 4\n", "resources: {cpu: 2}\n"));
    let set = changed(FILE, &Change::Set("lab", "resources", None));
    assert_eq!(set, FILE.replace("    resources:\n      cpu: 4\n", ""));
    let set = changed(FILE, &Change::Set("odd: #name", "queue", Some("q")));
    assert_eq!(set, FILE.replace("# kept\n", "# kept\n    queue: q\n"));
}

#[test]
fn a_mark_of_the_byte_order_stays_in_front() {
    let file = "\u{feff}contexts:\r\n  a:\r\n    type: kubernetes\r\n    storage: /s\r\n";
    let used = changed(file, &Change::Use("a"));
    assert_eq!(used, file.replace('\u{feff}', "\u{feff}current_context: a\r\n"));
    assert_eq!(changed(&used, &Change::Use("a")), used);
    let keys = [("type".to_owned(), "kubernetes".to_owned()), ("storage".to_owned(), "/s".to_owned())];
    assert!(changed("\u{feff}", &Change::Add("b", &keys)).starts_with("\u{feff}# Remote contexts "));
}

#[test]
fn a_context_may_be_called_anything_that_is_one_line() {
    for name in [
        "-dash",
        "it's",
        "a b",
        "ü💥",
        " a ",
        "null",
        "~",
        "1.10",
        "*x",
        "&x",
        "!x",
        "\"q\"",
        "a/b",
        "#",
        "[",
        "{}",
        "a: b",
        "- a",
        "? a",
        "%",
        "@",
        "`",
        "\u{202e}x",
        "|",
        ">",
        "\\",
    ] {
        let copied = changed(FILE, &Change::Copy("lab", name));
        assert_eq!(changed(&copied, &Change::Use(name)).matches("context: lab ").count(), 0, "{name}");
        assert_eq!(changed(&copied, &Change::Delete(name)), FILE, "{name}");
    }
    for name in ["", " ", "a\nb", "a\u{1b}b", "<<"] {
        let told = refused(FILE, &Change::Copy("lab", name));
        assert!(told.contains("is no name of a context: it "), "{told}");
    }
}

#[test]
fn a_context_is_added_removed_and_copied() {
    let keys = [("type".to_owned(), "kubernetes".to_owned()), ("storage".to_owned(), "/s".to_owned())];
    let added = changed(FILE, &Change::Add("new", &keys));
    let new = "  new:\n    type: kubernetes\n    storage: /s\n";
    assert_eq!(added, FILE.replace("# kept\n", &format!("# kept\n{new}")));
    assert_eq!(changed(&added, &Change::Delete("new")), FILE);
    let gone = changed(FILE, &Change::Delete("lab"));
    assert!(
        !gone.contains("current_context") && gone.contains("# the small one\n") && gone.contains("# spare"),
        "{gone}"
    );
    let copied = changed(FILE, &Change::Copy("lab", "lab2"));
    assert!(copied.contains("# kept\n  lab2:\n    type: kubernetes   # always\n"), "{copied}");
    assert!(copied.starts_with(FILE.trim_end_matches("\n# the end\n")) && copied.ends_with("# the end\n"), "{copied}");
    for empty in ["", "# only words\n", "contexts:\n", "contexts: {}\n", "\u{feff}contexts:\n", "contexts:"] {
        let added = changed(empty, &Change::Add("new", &keys));
        assert!(added.contains(&format!("contexts:\n{new}")), "{added}");
        let used = changed(&added, &Change::Use("new"));
        assert!(used.contains("current_context: new\n"), "{used}");
    }
    let crlf = FILE.replace('\n', "\r\n");
    assert_eq!(changed(&crlf, &Change::Add("new", &keys)), added.replace('\n', "\r\n"));
}

#[test]
fn any_name_is_quoted_as_it_needs() {
    let keys = [("type".to_owned(), "kubernetes".to_owned()), ("storage".to_owned(), "/s".to_owned())];
    for name in [
        "a b", "it's", "\"q\"", "#x", "a: b", "a:", "é🦀", "-", "~", "true", "no", "1", "0x1", "*a", "&a", "!a", "[x]",
        "{x", "? x", "%x", "@x", "`x`", "null", "x #y", "\\n", "---",
    ] {
        let added = changed(FILE, &Change::Add(name, &keys));
        let used = changed(&added, &Change::Use(name));
        let copied = changed(&used, &Change::Copy(name, "z"));
        let set = changed(&copied, &Change::Set(name, "queue", Some("q")));
        let back = changed(&changed(&set, &Change::Delete(name)), &Change::Delete("z"));
        assert_eq!(back, FILE.replace("current_context: lab   # the usual one\n", ""), "{name}");
    }
    for bad in ["", "a\nb", "a\u{1b}b"] {
        assert!(change(FILE, Path::new("c.yaml"), &Change::Add(bad, &keys)).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_not_written_in_lines_is_left_alone() {
    let hint = "do it in your editor: `kubectl mrunner context edit`";
    for text in [
        "{contexts: {a: {type: kubernetes, storage: /s}}}\n",
        "contexts: {a: {type: kubernetes, storage: /s},\n b: {type: kubernetes, storage: /s}}\n",
        "contexts:\n  a: &x\n    type: kubernetes\n    storage: /s\n  b: *x\n",
        "contexts:\n  a: {type: kubernetes,\n    storage: /s}\n",
    ] {
        assert!(refused(text, &Change::Set("a", "queue", Some("q"))).ends_with(hint), "{text}");
        assert!(refused(text, &Change::Copy("a", "z")).ends_with(hint), "{text}");
    }
    let flow = "contexts: {a: {type: kubernetes, storage: /s}, c: {type: kubernetes, storage: /s}}\n";
    assert!(refused(flow, &Change::Delete("a")).ends_with(hint));
    assert!(
        refused(flow, &Change::Add("b", &[])).ends_with("nothing was changed")
            || refused(flow, &Change::Add("b", &[])).ends_with(hint)
    );
    let shared = "contexts:\n  a: &x\n    type: kubernetes\n    storage: /s\n  b:\n    <<: *x\n    queue: q\n";
    assert!(refused(shared, &Change::Delete("a")).ends_with(hint));
    assert_eq!(changed(shared, &Change::Delete("b")), "contexts:\n  a: &x\n    type: kubernetes\n    storage: /s\n");
}

#[test]
fn what_is_wrong_is_told() {
    assert_eq!(refused(FILE, &Change::Use("lap")), "`c.yaml` has no context `lap`; did you mean `lab`?");
    assert!(refused(FILE, &Change::Copy("lab", "lab")).starts_with("there is a context `lab` already"));
    let wrong = refused(FILE, &Change::Set("lab", "storag", Some("/x")));
    assert_eq!(wrong, "`contexts.lab.storag` is not a known key, did you mean `storage`?; nothing was changed");
    let wrong = refused(FILE, &Change::Set("lab", "neptune", Some("maybe")));
    assert_eq!(wrong, "`contexts.lab.neptune` must be `true` or `false`, not `maybe`; nothing was changed");
    assert!(
        refused(FILE, &Change::Set("lab", "env", Some("{a: 1\n  b: 2}\ncurrent_context: x")))
            .ends_with("nothing was changed")
    );
}
