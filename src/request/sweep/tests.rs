use super::*;

fn grid(texts: &[&str]) -> Vec<Factor> {
    texts.iter().map(|text| Factor::grid(text).unwrap()).collect()
}

fn sweep(texts: &[&str], selection: &Selection) -> Result<Sweep, String> {
    Sweep::new(grid(texts), selection).map_err(|fail| fail.message)
}

fn shown(point: &Point) -> String {
    point.iter().map(|(name, value)| format!("{name}={}", value.text)).collect::<Vec<_>>().join(" ")
}

fn all(sweep: &Sweep) -> Vec<String> {
    sweep.points().map(|point| shown(&point)).collect()
}

#[test]
fn a_grid_is_a_product_whose_last_factor_is_fastest() {
    let sweep = sweep(&["lr=0.1,1e-2", "seed=1..3"], &Selection::default()).unwrap();
    assert_eq!(sweep.len(), 6);
    assert_eq!(sweep.names(), ["lr", "seed"]);
    assert_eq!(
        all(&sweep),
        ["lr=0.1 seed=1", "lr=0.1 seed=2", "lr=0.1 seed=3", "lr=1e-2 seed=1", "lr=1e-2 seed=2", "lr=1e-2 seed=3"]
    );
}

#[test]
fn what_is_zipped_is_one_factor() {
    let zip = |texts: &[&str]| Factor::zip(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    let sweep =
        Sweep::new(vec![zip(&["a=1..2", "b=x,y"]).unwrap(), Factor::grid("c=t,f").unwrap()], &Selection::default());
    assert_eq!(all(&sweep.unwrap()), ["a=1 b=x c=t", "a=1 b=x c=f", "a=2 b=y c=t", "a=2 b=y c=f"]);
    assert_eq!(zip(&["a=1,2", "b=1..3"]).unwrap_err().message, "`a` has 2 values and `b` has 3, and they are zipped");
    assert!(zip(&["a=1..1000000000", "b=1..1000000000"]).unwrap_err().message.contains("a Job can hold 100000"));
}

#[test]
fn ranges_go_both_ways_and_never_without_end() {
    let of = |text: &str| Factor::grid(&format!("x={text}")).map(|f| (f.len(), shown(&f.row(f.len() - 1))));
    assert_eq!(of("1..5").unwrap(), (5, "x=5".into()));
    assert_eq!(of("5..1").unwrap(), (5, "x=1".into()));
    assert_eq!(of("0..100..30").unwrap(), (4, "x=90".into()));
    assert_eq!(of("-3..-3").unwrap(), (1, "x=-3".into()));
    assert_eq!(of("-9223372036854775808..9223372036854775806").unwrap().1, "x=9223372036854775806");
    assert!(of("1..5..0").unwrap_err().message.contains("never ends"));
    assert!(of("1..5..-1").unwrap_err().message.contains("never ends"));
    // a path is no range
    assert_eq!(of("../data").unwrap(), (1, "x=../data".into()));
}

#[test]
fn too_many_or_no_points_are_refused_at_once() {
    let many = ["a=1..1000", "b=1..1000", "c=1..1000"];
    assert_eq!(
        sweep(&many, &Selection::default()).unwrap_err(),
        "the sweep has 1000000000 points, and a Job can hold 100000"
    );
    let huge = ["a=0..9223372036854775806", "b=0..9223372036854775806"];
    assert!(sweep(&huge, &Selection::default()).unwrap_err().contains("more than 10^19"));
    let limit = Selection { limit: Some(0), ..Selection::default() };
    assert_eq!(sweep(&many, &limit).unwrap_err(), "the sweep has no points");
    let drawn = sweep(&many, &Selection { shuffle: Some(1), limit: Some(1000), points: None }).unwrap();
    let mut points = all(&drawn);
    assert_eq!(points.len(), 1000);
    points.sort();
    points.dedup();
    assert_eq!(points.len(), 1000, "a point comes twice");
    let first = sweep(&many, &Selection { limit: Some(2), ..Selection::default() }).unwrap();
    assert_eq!(all(&first), ["a=1 b=1 c=1", "a=1 b=1 c=2"]);
}

#[test]
fn a_seed_means_the_same_points_tomorrow() {
    let order = |shuffle, limit| {
        let sweep = sweep(&["x=0..9"], &Selection { shuffle: Some(shuffle), limit, points: None }).unwrap();
        sweep.points().map(|p| p[0].1.text.clone()).collect::<String>()
    };
    let one = order(1, None);
    // recorded: a run that is made again must try the same points
    assert_eq!(one, "3852796041");
    assert_ne!(one, order(2, None));
    assert!(one.starts_with(&order(1, Some(4))));
}

#[test]
fn points_are_taken_by_their_numbers() {
    assert_eq!(numbers("3,7-9,8").unwrap(), [3, 7, 8, 9]);
    for text in ["", "a", "3-1", "1-99999999999", "-1", "1,,2"] {
        assert!(numbers(text).is_err(), "{text}");
    }
    let some = |points| Selection { points: Some(points), ..Selection::default() };
    assert_eq!(all(&sweep(&["x=a,b,c,d"], &some(vec![1, 3])).unwrap()), ["x=b", "x=d"]);
    assert_eq!(sweep(&["x=a,b"], &some(vec![2])).unwrap_err(), "the sweep has no point 2");
    let both = Selection { shuffle: Some(1), limit: Some(3), points: Some(vec![0, 2]) };
    let shuffled = all(&sweep(&["x=0..9"], &Selection { points: None, ..both.clone() }).unwrap());
    assert_eq!(all(&sweep(&["x=0..9"], &both).unwrap()), [shuffled[0].clone(), shuffled[2].clone()]);
}

#[test]
fn a_parameter_that_comes_twice_is_refused() {
    assert_eq!(sweep(&["x=1", "x=2"], &Selection::default()).unwrap_err(), "the parameter `x` is swept twice");
}

#[test]
fn flags_that_say_nothing_are_told() {
    for (text, message) in [
        ("lr", "has no `=`"),
        ("=1", "no name of a parameter"),
        ("a b=1", "no name of a parameter"),
        ("lr=", "gives no value"),
        ("lr= ", "gives no value"),
        ("lr=1,,2", "is no list of values"),
        ("lr=a\0b", ""),
    ] {
        let error = Factor::grid(text).unwrap_err().message;
        assert!(error.contains(message), "{text}: {error}");
    }
    let long = Factor::grid(&format!("x={}", "a".repeat(1 << 20))).unwrap_err();
    assert!(long.message.contains("128 KiB") || long.message.contains("list of values"), "{}", long.message);
}

fn rows(text: &str, file: &str) -> Result<Vec<String>, String> {
    let factors = read(text, file.as_ref()).map_err(|fail| fail.message)?;
    Ok(all(&Sweep::new(factors, &Selection::default()).map_err(|fail| fail.message)?))
}

#[test]
fn a_file_is_csv_json_lines_or_yaml() {
    let csv = "\u{feff}lr, name\r\n0.10,\"a,\"\"b\"\"\nc\"\r\n,x\r\n";
    assert_eq!(rows(csv, "s.csv").unwrap(), ["lr=0.10 name=a,\"b\"\nc", "name=x"]);
    let json = "{\"lr\": 0.1, \"seed\": \"1\", \"none\": null}\n\n{\"lr\": 1}\n";
    assert_eq!(rows(json, "s.jsonl").unwrap(), ["lr=0.1 seed=1", "lr=1"]);
    assert_eq!(read(json, "-".as_ref()).unwrap()[0].row(0)[1].1.json, "1");
    assert_eq!(
        rows("- {lr: 1e-3}\n- {lr: 2, tags: [a, b]}", "s.yaml").unwrap(),
        ["lr=1e-3", "lr=2 tags=[\"a\",\"b\"]"]
    );
    assert_eq!(
        rows("grid: {a: 1..2}\nzip: {b: [x]}\npoints: [{c: 0}]", "s.yml").unwrap(),
        ["c=0 b=x a=1", "c=0 b=x a=2"]
    );
    // from a pipe, by what it looks like
    for (text, first) in [("a,b\n1,2\n", "a=1 b=2"), ("{\"a\": 1}\n", "a=1"), ("- a: 1\n", "a=1"), ("a\n1\n", "a=1")] {
        assert_eq!(rows(text, "-").unwrap(), [first], "{text}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    for (text, file, message) in [
        ("a,b\n1\n", "s.csv", "s.csv:2: has 1 value, and line 1 names 2"),
        ("a,b\n1,2,3\n", "s.csv", "s.csv:2: has 3 values, and line 1 names 2"),
        ("{\"a\": 1, \"b\": {\"a\": 1}}\n{\"a\": 1, \"b\": 2, \"a\": 1}\n", "s.jsonl", "s.jsonl:2: `a` is there twice"),
        ("a,a\n1,2\n", "s.csv", "s.csv:1: the column `a` comes twice"),
        ("a b\n1\n", "s.csv", "s.csv:2: `a b` is no name of a parameter: no blanks, no `=`, no `-` in front"),
        ("a\n", "s.csv", "`s.csv` has no points"),
        ("", "s.csv", "`s.csv` has no points"),
        ("{\"a\": 1}\n[1]\n", "s.jsonl", "s.jsonl:2: is no JSON object"),
        (
            "{\"a\": \"x\\u0000\"}\n",
            "s.jsonl",
            "s.jsonl:1: a value of `a` holds a NUL character, which no argument can",
        ),
        ("[]", "s.yaml", "`s.yaml` has no points"),
        ("{}", "s.yaml", "`s.yaml` has no points"),
    ] {
        assert_eq!(rows(text, file).unwrap_err(), message, "{text}");
    }
    // from a pipe, what is no YAML is read as CSV
    assert!(rows("!!python/object \0\u{feff}", "-").is_err());
    assert!(rows("{\"a\": \n", "s.jsonl").unwrap_err().starts_with("s.jsonl:1: is no JSON: "));
    assert_eq!(rows(&"- a: 1\n".repeat(200_000), "s.yaml").unwrap_err(), "`s.yaml` is longer than 1 MiB");
    let many = "1\n".repeat(100_001);
    assert!(rows(&format!("a\n{many}"), "s.csv").unwrap_err().contains("more than 100000 points"));
}
