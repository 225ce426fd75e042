//! How the code reads the objects of the cluster, and the words of other programs.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::house::{Source, all_sources, sources};

/// The most fields of JSON that are named outside `src/k8s/`, where views read them.
const MOST_KEYS: usize = 6;

/// Files that decide by words, and whose words these are. Our own errors have a `Cause`.
const DECIDE_BY_WORDS: [(&str, &str); 9] = [
    ("cli/commands/storage/nfs_server/wait.rs", "the NFS server's log"),
    ("config/yaml.rs", "the YAML parser's"),
    ("runs/diagnosis.rs", "the scheduler's and the kubelet's"),
    ("runs/endings.rs", "the kubelet's and the container runtime's"),
    ("runs/events.rs", "the Job controller's and the kubelet's"),
    ("tools/docker.rs", "docker's"),
    ("tools/kubectl/refusal.rs", "kubectl's and the API server's"),
    ("tools/kubectl/words.rs", "kubectl's"),
    ("transfer/helper.rs", "the container runtime's"),
];

/// What another program's words, or our own, are called.
const WORDS: [&str; 13] =
    ["cause", "details", "error", "hint", "hints", "log", "lower", "message", "said", "stderr", "told", "why", "words"];

// --- keys -----------------------------------------------------------------------

/// The keys in `object["key"]`, `.get("key")` and `.pointer("/key")`, also within macros.
fn keys(tokens: TokenStream) -> usize {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut count = 0;
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
        let is_key = match group.delimiter() {
            Delimiter::Bracket => is_text(group, 1) && before(1).is_some_and(is_value),
            Delimiter::Parenthesis => {
                is_text(group, 0) && before(1).is_some_and(is_getter) && before(2).is_some_and(is_dot)
            }
            Delimiter::Brace | Delimiter::None => false,
        };
        count += usize::from(is_key) + keys(group.stream());
    }
    count
}

/// Whether a text is first in a group, and alone if there is a limit to how much is in it.
fn is_text(group: &Group, limit: usize) -> bool {
    let mut tokens = group.stream().into_iter();
    let first = tokens
        .next()
        .is_some_and(|token| token.to_string().starts_with(['"', 'r']) && matches!(token, TokenTree::Literal(_)));
    first && (limit == 0 || tokens.next().is_none())
}

/// Whether what stands before brackets can be looked into.
fn is_value(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(name) => {
            !["in", "return", "match", "if", "else", "mut", "move"].contains(&name.to_string().as_str())
        }
        TokenTree::Group(group) => group.delimiter() != Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == '?',
        TokenTree::Literal(_) => false,
    }
}

fn is_getter(token: &TokenTree) -> bool {
    ["get", "get_mut", "pointer", "pointer_mut"].contains(&token.to_string().as_str())
}

fn is_dot(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == '.')
}

#[test]
fn objects_of_the_cluster_are_read_by_views() {
    let mut by_file: BTreeMap<String, usize> = BTreeMap::new();
    for (name, text) in all_sources().into_iter().filter(|(name, _)| !name.starts_with("k8s/")) {
        let count = keys(text.parse().unwrap());
        by_file.extend((count > 0).then_some((name, count)));
    }
    let all: usize = by_file.values().sum();
    assert!(all <= MOST_KEYS, "{all} keys of JSON stand outside src/k8s, at most {MOST_KEYS} may: {by_file:#?}");
}

#[test]
fn keys_are_found() {
    let count = |text: &str| keys(text.parse().unwrap());
    assert_eq!(count(r#"a["b"]["c"].get("d").and_then(|e| e.pointer("/f/g"))"#), 4);
    assert_eq!(count(r#"assert_eq!(f(a)["b"], g(&c["d"])?["e"])"#), 3);
    assert_eq!(count(r#"for a in ["b"] { f(&["c"], vec!["d"], json!(["e"]), map.get(name), get("x")) }"#), 0);
}

// --- words ----------------------------------------------------------------------

#[derive(Default)]
struct Decisions(Vec<String>);

/// The name of what an expression looks at: `message` in `self.message.trim().contains("x")`.
fn name_of(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        syn::Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => Some(name.to_string()),
            syn::Member::Unnamed(_) => None,
        },
        syn::Expr::MethodCall(call) if call.args.is_empty() => {
            let own = call.method.to_string();
            if WORDS.contains(&own.as_str()) { Some(own) } else { name_of(&call.receiver) }
        }
        syn::Expr::MethodCall(call) => name_of(&call.receiver),
        syn::Expr::Reference(inner) => name_of(&inner.expr),
        syn::Expr::Unary(inner) => name_of(&inner.expr),
        syn::Expr::Paren(inner) => name_of(&inner.expr),
        syn::Expr::Try(inner) => name_of(&inner.expr),
        _ => None,
    }
}

fn is_literal(expression: &syn::Expr) -> bool {
    matches!(expression, syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) if !text.value().is_empty())
}

impl Decisions {
    fn add(&mut self, receiver: &syn::Expr, literal: &syn::Expr) {
        if let Some(name) = name_of(receiver).filter(|name| WORDS.contains(&name.as_str()) && is_literal(literal)) {
            self.0.push(name);
        }
    }
}

impl<'ast> Visit<'ast> for Decisions {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        if ["contains", "starts_with", "ends_with"].contains(&method.as_str())
            && let Some(argument) = call.args.first()
        {
            self.add(&call.receiver, argument);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        if matches!(binary.op, syn::BinOp::Eq(_) | syn::BinOp::Ne(_)) {
            self.add(&binary.left, &binary.right);
        }
        visit::visit_expr_binary(self, binary);
    }
}

fn decisions(source: &Source) -> Vec<String> {
    let mut decisions = Decisions::default();
    decisions.visit_file(&source.syntax());
    decisions.0
}

#[test]
fn nothing_is_decided_by_our_own_words() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        let decisions = decisions(&source);
        found.extend((!decisions.is_empty()).then(|| (source.name.clone(), decisions)));
    }
    for (name, whose) in DECIDE_BY_WORDS {
        assert!(found.remove(name).is_some(), "src/{name} decides by no words any more, such as {whose}");
    }
    assert!(found.is_empty(), "these decide by words; set a kind where the words are read: {found:#?}");
}

#[test]
fn decisions_by_words_are_found() {
    let of = |code: &str| {
        let mut decisions = Decisions::default();
        decisions.visit_expr(&syn::parse_str(code).unwrap());
        decisions.0
    };
    assert_eq!(of(r#"self.message.contains("x") || why.trim().starts_with("y")"#), ["message", "why"]);
    assert_eq!(of(r#"error.to_string() == "z" && all.iter().any(|hint| hint.ends_with("w"))"#), ["error", "hint"]);
    assert_eq!(of(r#"path.starts_with("x") || words.contains(&own) || message != """#), [""; 0]);
}
