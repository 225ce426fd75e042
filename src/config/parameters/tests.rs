use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::experiment;

fn read(text: &str) -> Vec<Parameter> {
    let text = format!("parameters:\n{text}");
    experiment::parse(&text, Path::new("f")).unwrap_or_else(|faults| panic!("{text}: {faults:?}")).parameters
}

fn faults(text: &str) -> Vec<String> {
    let faults = experiment::parse(&format!("parameters:\n{text}"), Path::new("f")).unwrap_err();
    faults.iter().map(crate::config::Fault::detail).collect()
}

/// Each parameter as name, argument and JSON.
fn values(text: &str) -> Vec<(String, String, Json)> {
    let value = |p: Parameter| p.default.map(|v| (p.name, v.text, v.json));
    read(text).into_iter().filter_map(value).collect()
}

fn value(name: &str, text: &str, json: Json) -> (String, String, Json) {
    (name.to_owned(), text.to_owned(), json)
}

#[test]
fn the_long_form() {
    let text = "
- {name: lr, type: double, default: 1e-3}
- name: epochs
  type: int
  description: how long
  required: true
- {name: seed, required: false}
- {name: data, type: string, default: 2024}
- {name: quick, type: boolean, default: yes, required: true}
- {name: depth}
";
    let read = read(text);
    let rows: Vec<_> = read.iter().map(|p| (p.name.as_str(), p.kind, p.default.is_some(), p.required)).collect();
    let expected = [
        ("lr", Some(ParamKind::Double), true, false),
        ("epochs", Some(ParamKind::Int), false, true),
        ("seed", None, false, false),
        ("data", Some(ParamKind::String), true, false),
        ("quick", Some(ParamKind::Boolean), true, true),
        ("depth", None, false, true),
    ];
    assert_eq!(rows, expected);
    let expected =
        [value("lr", "1e-3", json!(0.001)), value("data", "2024", json!("2024")), value("quick", "yes", json!(true))];
    assert_eq!(values(text), expected);
}

#[test]
fn the_short_form_keeps_what_was_written() {
    let text = "
  lr: 0.10
  n: 010
  hex: 0x1F
  big: 123456789012345678901234567890
  neg: -3
  plus: +3
  inf: .inf
  t: True
  yes: yes
  s: some words
  q: \"0.10\"
  v: 1.2.3
  date: 2024-01-02
  e: 1e400
  empty: \"\"
  lines: |
    a
    b
  list: [1, 0.50, {a: ~, b: \"x\"}]
  none:
  tilde: ~
";
    let expected = [
        value("lr", "0.10", json!(0.1)),
        value("n", "010", json!(10)),
        value("hex", "0x1F", json!(31)),
        value("big", "123456789012345678901234567890", json!("123456789012345678901234567890")),
        value("neg", "-3", json!(-3)),
        value("plus", "+3", json!(3)),
        value("inf", ".inf", json!(".inf")),
        value("t", "True", json!(true)),
        value("yes", "yes", json!("yes")),
        value("s", "some words", json!("some words")),
        value("q", "0.10", json!("0.10")),
        value("v", "1.2.3", json!("1.2.3")),
        value("date", "2024-01-02", json!("2024-01-02")),
        value("e", "1e400", json!("1e400")),
        value("empty", "", json!("")),
        value("lines", "a\nb\n", json!("a\nb\n")),
        value("list", r#"[1,0.5,{"a":null,"b":"x"}]"#, json!([1, 0.5, {"a": null, "b": "x"}])),
    ];
    assert_eq!(values(text), expected);
    let required: Vec<String> = read(text).into_iter().filter(|p| p.required).map(|p| p.name).collect();
    assert_eq!(required, ["none", "tilde"]);
}

#[test]
fn a_default_must_fit_its_type() {
    let text = "
- {name: a, type: int, default: 1.5}
- {name: b, type: double, default: fast}
- {name: c, type: boolean, default: 1}
- {name: d, type: string, default: [1]}
- {name: e, type: number}
- {name: f, type: int, default: \"5\"}
- {name: g, type: float, default: 3}
- {name: h, type: bool, default: \"TRUE\"}
";
    let expected = [
        "line 3: parameters[0].default: must be a whole number, as its type `int` says, not `1.5`",
        "line 4: parameters[1].default: must be a number, as its type `double` says, not `fast`",
        "line 5: parameters[2].default: must be `true` or `false`, as its type `boolean` says, not `1`",
        "line 6: parameters[3].default: must be a single value, as its type `string` says, not a list",
        "line 7: parameters[4].type: must be one of `double`, `int`, `string`, `boolean`, not `number`",
    ];
    assert_eq!(faults(text), expected);
    let text = "
- {name: f, type: int, default: \"5\"}
- {name: g, type: float, default: 3}
- {name: s, type: str, default: 1}
- {name: i, type: integer, default: 1}
";
    let json: Vec<Json> = values(text).into_iter().map(|(_, _, json)| json).collect();
    assert_eq!(json, [json!(5), json!(3), json!("1"), json!(1)]);
}

#[test]
fn names_and_shapes() {
    for name in ["-x", "a=b", "a b", "\"\\t\"", "\"a\\nb\""] {
        let told = faults(&format!("  {name}: 1\n"));
        assert!(
            told[0].ends_with(
                "is no name of a parameter: no blanks, no `=`, no `-` in front, the script gets it as `--NAME`"
            ),
            "{told:?}"
        );
        assert_eq!(told.len(), 1);
    }
    assert_eq!(read("  größe: 1\n  a.b-c_d: 2\n").len(), 2);
    assert_eq!(
        faults("- a\n- {name: x}\n- name: x\n- {type: int}\n- {name: y, defualt: 1}\n"),
        [
            "line 2: parameters[0]: must be a mapping of keys, not `a`",
            "line 4: parameters[2]: has the name of the parameter in line 3",
            "line 5: parameters[3].name: is required",
            "line 6: parameters[4].defualt: is not a known key, did you mean `default`?",
        ]
    );
    assert_eq!(faults("  lr\n"), ["line 1: parameters: must be a list or a mapping, not `lr`"]);
    assert_eq!(faults("  a: \"x\\0\"\n"), ["line 2: parameters.a: must not hold a NUL character"]);
}
