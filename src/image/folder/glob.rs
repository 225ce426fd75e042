//! Patterns of paths: `*`, `?`, `[a-z]`, `**` and `{a,b}`.
//!
//! An own matcher, since every crate that knows these patterns brings an engine for regular
//! expressions, a tenth of the program. The tests below compare it with such a crate.

use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

/// More would be a mistake, or an attack on the memory.
const MOST_ALTERNATIVES: usize = 1000;

/// Whose patterns they are.
#[derive(Clone, Copy, PartialEq)]
pub enum Syntax {
    /// `.gitignore`'s, with alternatives in braces; a `[` without `]` is a character.
    Git,
    /// docker's, to which braces are characters.
    Docker,
}

/// A pattern of whole paths.
pub struct Glob(Vec<Vec<Segment>>);

/// What matches one name of a path, or any number of them.
enum Segment {
    AnyDepth,
    Name(Vec<Token>),
}

#[derive(Clone, PartialEq)]
enum Token {
    Slash,
    /// `**` that stands for names; beside other characters it is `*`.
    AnyDepth,
    /// `*`
    Any,
    /// `?`
    One,
    Unit(u32),
    Class {
        is_negated: bool,
        ranges: Vec<(u32, u32)>,
    },
}

/// A path as patterns see it: for each name its characters, and bytes that are none.
pub struct Units(Vec<Vec<u32>>);

impl Units {
    pub fn new(path: &Path) -> Self {
        Self(path.iter().map(|name| units(name.as_encoded_bytes())).collect())
    }
}

fn units(name: &[u8]) -> Vec<u32> {
    let mut units = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        units.extend(chunk.valid().chars().map(u32::from));
        // beyond the last character
        units.extend(chunk.invalid().iter().map(|byte| 0x0011_0000 + u32::from(*byte)));
    }
    units
}

impl Glob {
    pub fn new(pattern: &str, syntax: Syntax) -> Result<Self, &'static str> {
        let mut reader = Reader { rest: pattern.chars().peekable(), previous: None, syntax };
        let alternatives = reader.sequence(0)?;
        Ok(Self(alternatives.iter().map(|tokens| segments(tokens)).collect()))
    }

    pub fn matches(&self, path: &Units) -> bool {
        self.0.iter().any(|segments| {
            wild(
                segments,
                &path.0,
                |segment| matches!(segment, Segment::AnyDepth),
                |segment, name| matches!(segment, Segment::Name(tokens) if is_name(tokens, name)),
            )
        })
    }
}

fn is_name(tokens: &[Token], name: &[u32]) -> bool {
    wild(tokens, name, |token| *token == Token::Any, |token, unit| token.is(*unit))
}

impl Token {
    fn is(&self, unit: u32) -> bool {
        match self {
            Self::One => true,
            Self::Unit(own) => *own == unit,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&unit)) != *is_negated
            }
            Self::Slash | Self::AnyDepth | Self::Any => false,
        }
    }
}

/// Whether the pattern matches all items. Only the last star that was met can have to take more, so
/// that no pattern takes more time than its length times that of the items.
fn wild<P, I>(pattern: &[P], items: &[I], is_star: impl Fn(&P) -> bool, is: impl Fn(&P, &I) -> bool) -> bool {
    let (mut at, mut item, mut star) = (0, 0, None);
    while item < items.len() {
        if pattern.get(at).is_some_and(&is_star) {
            at += 1;
            star = Some((at, item));
        } else if pattern.get(at).is_some_and(|p| is(p, &items[item])) {
            at += 1;
            item += 1;
        } else if let Some((after, taken)) = star {
            (at, item) = (after, taken + 1);
            star = Some((at, item));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(is_star)
}

fn segments(tokens: &[Token]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = tokens
        .split(|token| *token == Token::Slash)
        .map(|name| match name {
            [Token::AnyDepth] => Segment::AnyDepth,
            name => Segment::Name(name.iter().map(Token::in_name).collect()),
        })
        .collect();
    // `a/**` is what is in `a`, not `a`
    if let Some(Segment::AnyDepth) = segments.last() {
        segments.push(Segment::Name(vec![Token::Any]));
    }
    segments
}

impl Token {
    fn in_name(&self) -> Self {
        if *self == Self::AnyDepth { Self::Any } else { self.clone() }
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    previous: Option<char>,
    syntax: Syntax,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        self.previous = self.rest.next();
        self.previous
    }

    /// All alternatives of what follows, up to the end of the pattern or of the alternative.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Vec<Token>>, &'static str> {
        let mut all = vec![Vec::new()];
        let has_braces = self.syntax == Syntax::Git;
        loop {
            let before = self.previous;
            if depth > 0 && matches!(self.rest.peek(), Some(',' | '}')) {
                return Ok(all);
            }
            let Some(c) = self.next() else { break };
            let token = match c {
                '/' => Token::Slash,
                '*' => self.stars(before, depth),
                '?' => Token::One,
                '[' => self.class()?,
                '\\' => match self.next().ok_or("nothing follows the last `\\`")? {
                    '/' => Token::Slash,
                    c => Token::Unit(c.into()),
                },
                '{' if has_braces => {
                    all = product(&all, &self.group(depth + 1)?)?;
                    continue;
                }
                '}' if has_braces => return Err("`}` without `{`: write `\\}` for the character itself"),
                c => Token::Unit(c.into()),
            };
            for tokens in &mut all {
                tokens.push(token.clone());
            }
        }
        if depth > 0 { Err("`{` without `}`: write `\\{` for the character itself") } else { Ok(all) }
    }

    /// The alternatives in braces, of which empty ones count for nothing.
    fn group(&mut self, depth: usize) -> Result<Vec<Vec<Token>>, &'static str> {
        let mut all = Vec::new();
        loop {
            all.extend(self.sequence(depth)?.into_iter().filter(|tokens| !tokens.is_empty()));
            if self.next() == Some('}') {
                break;
            }
        }
        if all.is_empty() {
            all.push(Vec::new());
        }
        Ok(all)
    }

    fn stars(&mut self, before: Option<char>, depth: usize) -> Token {
        if self.rest.next_if_eq(&'*').is_none() {
            return Token::Any;
        }
        let starts = match before {
            None | Some('/') => true,
            Some(c) => depth > 0 && matches!(c, ',' | '{'),
        };
        let ends = match self.rest.peek() {
            None | Some('/') => true,
            Some(c) => depth > 0 && matches!(c, ',' | '}'),
        };
        if starts && ends { Token::AnyDepth } else { Token::Any }
    }

    fn class(&mut self) -> Result<Token, &'static str> {
        let start = self.rest.clone();
        match self.ranges()? {
            Some(class) => Ok(class),
            None if self.syntax == Syntax::Git => {
                self.rest = start;
                self.previous = Some('[');
                Ok(Token::Unit('['.into()))
            }
            None => Err("`[` without `]`: write `\\[` for the character itself"),
        }
    }

    /// What follows `[`; `None` if it has no end.
    fn ranges(&mut self) -> Result<Option<Token>, &'static str> {
        let is_negated = self.rest.next_if(|c| matches!(c, '!' | '^')).is_some();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        loop {
            let Some(c) = self.next() else { return Ok(None) };
            if c == ']' && !ranges.is_empty() {
                return Ok(Some(Token::Class { is_negated, ranges }));
            }
            let from = u32::from(c);
            let mut to = from;
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-')
                && let Some(end) = ahead.next().filter(|c| *c != ']')
            {
                self.rest = ahead;
                to = end.into();
            }
            if to < from {
                return Err("a range in `[]` whose end comes before its start");
            }
            ranges.push((from, to));
        }
    }
}

fn product(left: &[Vec<Token>], right: &[Vec<Token>]) -> Result<Vec<Vec<Token>>, &'static str> {
    if left.len() * right.len() > MOST_ALTERNATIVES {
        return Err("too many alternatives in `{}`");
    }
    Ok(left.iter().flat_map(|start| right.iter().map(move |end| [start.as_slice(), end].concat())).collect())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::git_rules::GitRules;
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern, Syntax::Docker).unwrap().matches(&Units::new(Path::new(path)))
    }

    #[test]
    fn a_character_may_have_several_bytes() {
        assert!(matches("?x", "üx") && matches("[ä-ü]", "ö") && !matches("??", "ü"));
        assert!(!matches("[!a]", "b/c") && !matches("a[!x]b", "a/b"), "a class is no slash");
    }

    #[test]
    fn no_pattern_takes_long_or_much_memory() {
        let stars = "*a".repeat(500) + "b";
        assert!(!matches(&stars, &"a".repeat(2000)));
        assert!(!matches(&format!("{}b", "**/a/".repeat(100)), &"a/".repeat(400)));
        assert!(Glob::new(&"{a,b}".repeat(40), Syntax::Git).is_err());
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let fault = |pattern| Glob::new(pattern, Syntax::Docker).err().unwrap_or_default();
        assert!(fault("[a").contains("without `]`") && fault("[b-a]").contains("range") && fault("a\\").contains('\\'));
        assert_eq!(fault("a{b"), "");
        assert!(Glob::new("a{b", Syntax::Git).is_err() && Glob::new("a}b", Syntax::Git).is_err());
        assert!(Glob::new("[a", Syntax::Git).is_ok_and(|glob| glob.matches(&Units::new(Path::new("[a")))));
    }

    /// Names and patterns of few characters, so that many match.
    fn path() -> impl Strategy<Value = String> {
        vec(vec(select(&['a', 'b', '.', '[', '{', '!', ' ', ','][..]), 1..4), 1..4)
            .prop_map(|names| names.iter().map(|name| name.iter().collect::<String>()).collect::<Vec<_>>().join("/"))
            .prop_filter("a path", |path| path.split('/').all(|name| name != "." && name != ".."))
    }

    fn pattern() -> impl Strategy<Value = String> {
        let pieces = [
            "a",
            "b",
            ".",
            "*",
            "**",
            "**/",
            "/**",
            "/**/",
            "?",
            "/",
            "[ab]",
            "[a-b]",
            "[^/a]",
            "[]a]",
            "[",
            "[-a]",
            "\\*",
            "\\[",
            "\\!",
            "\\",
            "!",
            "#",
            " ",
            "\\ ",
            "{",
            "}",
            ",",
            "{a,b}",
            "{a,{b,/}}",
            "{,a}",
        ];
        vec(select(pieces.to_vec()), 1..6)
            .prop_map(|pieces| pieces.concat())
            // ripgrep takes anything for an empty name, unlike git
            .prop_filter("names", |pattern| {
                let name = pattern.trim_end().trim_matches(&['!', '/', '\\'][..]);
                !name.is_empty() && !pattern.contains("//")
            })
            // it depends on what stands before the brace there
            .prop_filter("no `**` in braces", |pattern| !(pattern.contains('{') && pattern.contains("**")))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_mean_what_they_mean_to_ripgrep(lines in vec(pattern(), 1..4), paths in vec(path(), 8), is_dir: bool) {
            let mut theirs = ignore::gitignore::GitignoreBuilder::new("");
            let read = lines.iter().try_for_each(|line| theirs.add_line(None, line).map(drop));
            let ours = GitRules::new(lines.iter().map(String::as_str));
            prop_assert_eq!(read.is_ok(), ours.is_ok(), "{:?} {:?}", read, ours.err());
            if let (Ok(()), Ok(ours)) = (read, ours) {
                let theirs = theirs.build().unwrap();
                for path in paths {
                    let expected = match theirs.matched(&path, is_dir) {
                        ignore::Match::None => None,
                        ignore::Match::Ignore(_) => Some(false),
                        ignore::Match::Whitelist(_) => Some(true),
                    };
                    prop_assert_eq!(ours.keeps(Path::new(&path), is_dir), expected, "{}", path);
                }
            }
        }
    }
}
