//! How long functions and files may be.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::house::{sources, tests};

/// The longest function and the longest file, in lines.
const FUNCTION: usize = 60;
const FILE: usize = 400;

#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        self.0.push((signature.ident.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    let mut count = 0;
    for source in sources() {
        let mut functions = Functions::default();
        functions.visit_file(&source.syntax());
        count += functions.0.len();
        let too_long = functions.0.iter().filter(|(_, lines)| *lines > FUNCTION);
        long.extend(too_long.map(|(name, lines)| format!("src/{}: {name}, {lines} lines", source.name)));
    }
    assert!(long.is_empty(), "these have more than {FUNCTION} lines: {long:#?}");
    assert!(count > 1000);
}

#[test]
fn no_file_is_too_long() {
    let source = sources().into_iter().map(|source| (format!("src/{}", source.name), source.text));
    let long: Vec<String> = source
        .chain(tests())
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE)
        .map(|(name, lines)| format!("{name}, {lines} lines"))
        .collect();
    assert!(long.is_empty(), "these have more than {FILE} lines: {long:#?}");
}
