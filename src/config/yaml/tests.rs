use super::*;

fn tree(text: &str) -> Rc<Node> {
    let (root, faults) = parse(text, Path::new("f")).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"));
    faults.finish(Some(root.unwrap())).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let found = match parse(text, Path::new("f")) {
        Ok((root, faults)) => faults.finish(root.map(drop)).err().unwrap_or_default(),
        Err(faults) => faults,
    };
    found.iter().map(Fault::detail).collect()
}

/// The tree in one line: `key@line: value`, quoted text in quotes.
fn sketch(node: &Node) -> String {
    match &node.data {
        Data::Scalar { text, plain: true } => text.clone(),
        Data::Scalar { text, plain: false } => format!("{text:?}"),
        Data::List(items) => format!("[{}]", items.iter().map(|n| sketch(n)).collect::<Vec<_>>().join(", ")),
        Data::Map(entries) => {
            let entry = |e: &Entry| format!("{}@{}: {}", e.key, e.line, sketch(&e.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn lines_and_source_text_are_kept() {
    let text = "# c\nname: 2024\npython: 3.10\nq: \"3.10\"\nlist:\n  - 1e-3\n  - 0x1F\n\nb: |\n  x\n  y\nt: !!str 5\n";
    let expected = r#"{name@2: 2024, python@3: 3.10, q@4: "3.10", list@5: [1e-3, 0x1F], b@9: "x\ny\n", t@12: "5"}"#;
    assert_eq!(sketch(&tree(text)), expected);
}

#[test]
fn a_bom_and_windows_lines_are_accepted() {
    assert_eq!(sketch(&tree("\u{feff}a: b\r\nc:\r\n  d: e\r\n")), "{a@1: b, c@2: {d@3: e}}");
}

#[test]
fn nothing_is_no_tree() {
    for text in ["", "\n\n", "# only words\n", "---\n", "---\n...\n", "~\n", "\u{feff}"] {
        let (root, _) = parse(text, Path::new("f")).unwrap();
        assert!(root.is_none(), "{text:?}");
    }
}

#[test]
fn doubled_keys_are_told_with_both_lines() {
    let text = "a: 1\nb:\n  c: 1\n  d: [{x: 1,\n    x: 2}]\n  c: 2\n'a': 3\na: 4\n";
    let expected = [
        "line 5: b.d[0].x: is there twice, first in line 4",
        "line 6: b.c: is there twice, first in line 3",
        "line 7: a: is there twice, first in line 1",
        "line 8: a: is there twice, first in line 1",
    ];
    assert_eq!(faults(text), expected);
}

#[test]
fn aliases_and_merge_keys() {
    let text = "a: &a {x: 1, y: 2}\nb:\n  x: 0\n  <<: *a\n  z: *a\nc: {<<: [*a, {x: 5, w: 6}]}\nd: {<<: *a, x: 7}\n";
    let expected = "{a@1: {x@1: 1, y@1: 2}, b@2: {x@3: 0, z@5: {x@1: 1, y@1: 2}, y@1: 2}, \
                    c@6: {x@1: 1, y@1: 2, w@6: 6}, d@7: {x@7: 7, y@1: 2}}";
    assert_eq!(sketch(&tree(text)), expected);
    let expected =
        ["line 1: a.<<: must stand for a mapping, not `x`, write `<<: *NAME`, where `&NAME` marks a mapping"];
    assert_eq!(faults("a: {<<: x}"), expected);
}

#[test]
fn what_is_not_yaml_is_told_with_its_line() {
    for (text, expected) in [
        ("a: b\nc: d: e\n", "line 2: this is not YAML: mapping values are not allowed in this context"),
        ("a: [1, 2\nb: 3\n", "line 2: this is not YAML: illegal placement of ':' indicator"),
        ("a: *b\n", "line 1: this is not YAML: while parsing node, found unknown anchor"),
        ("a:\n\tb: c\n", "line 2: this line is indented with a tab, and YAML takes spaces only"),
        ("a: b\n\tc: d\n", "line 2: this line is indented with a tab, and YAML takes spaces only"),
        ("a: b\n---\na: c\n", "line 2: a second YAML document starts here, and a file may hold only one"),
        ("a: &a [*a]\n", "line 1: an alias stands inside the value that it stands for"),
        (
            "a: {{ b }}\n",
            "line 1: a: has a list or mapping where a key should be, put text that starts with `{` or `[` in quotes",
        ),
        (
            "? [a]\n: b\n",
            "line 1: has a list or mapping where a key should be, put text that starts with `{` or `[` in quotes",
        ),
        ("a: &a [x]\n*a : b\n", "line 2: an alias of a list or mapping stands where a key should be"),
        (": : :", "line 1: a key is empty"),
        ("a: !secret b\n", "line 1: a: has the tag `!secret`, which means nothing here"),
    ] {
        assert_eq!(faults(text), [expected], "{text:?}");
    }
}

#[test]
fn a_doubled_key_is_told_although_the_rest_is_not_yaml() {
    let expected = [
        "line 2: a: is there twice, first in line 1",
        "line 3: this is not YAML: mapping values are not allowed in this context",
    ];
    assert_eq!(faults("a: 1\na: 2\nb: c: d\n"), expected);
}

/// Anchors, each of which stands ten times for the one before.
fn bomb(levels: usize) -> String {
    let level = |i: usize| format!("a{i}: &a{i} [{}]\n", format!("*a{},", i - 1).repeat(10));
    let levels: Vec<String> = (1..levels).map(level).collect();
    format!("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{}", levels.concat())
}

#[test]
fn a_bomb_is_refused_where_it_grows_too_large() {
    let bomb = bomb(11_000);
    assert!((900_000..MAX_BYTES).contains(&bomb.len()), "{}", bomb.len());
    let expected = "line 5: there are more than 100000 values up to here, an alias counted as all it stands for";
    assert_eq!(faults(&bomb), [expected]);
    let keys: Vec<String> = (0..1000).map(|i| format!("k{i}: x")).collect();
    let merges: Vec<String> = (0..200).map(|i| format!("m{i}: {{<<: *a}}\n")).collect();
    assert_eq!(faults(&format!("a: &a {{{}}}\n{}", keys.join(", "), merges.concat())).len(), 1);
    assert_eq!(faults(&format!("[{}]", "1,".repeat(100_001))).len(), 1);
}

#[test]
fn nesting_is_bounded() {
    let nested = |n: usize| format!("{}x{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(faults(&nested(MAX_DEPTH)), [""; 0]);
    for text in [nested(MAX_DEPTH + 1), "- ".repeat(500_000), "{a: ".repeat(100)] {
        assert_eq!(faults(&text), ["line 1: this is nested deeper than 64 levels"], "{}", &text[..20]);
    }
    assert_eq!(faults(&"? ".repeat(500_000)).len(), 1);
    // each line is flat, but what the last alias stands for is not
    let chain: Vec<String> = (1..100).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)).collect();
    assert_eq!(faults(&format!("a0: &a0 x\n{}", chain.concat())), ["line 65: this is nested deeper than 64 levels"]);
}

#[test]
fn a_long_file_is_refused_unread() {
    assert_eq!(faults(&"#\n".repeat(MAX_BYTES)), ["is longer than 1 MiB"]);
}

#[test]
fn a_key_forges_no_line() {
    let text = "\"a\\nline 9: b\\e[2J\": {x: 1, x: 2}\n";
    assert_eq!(faults(text), ["line 1: a\\nline 9: b\\u{1b}[2J.x: is there twice, first in line 1"]);
}
