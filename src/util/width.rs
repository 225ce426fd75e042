//! The columns that text takes on a terminal: two for most characters of Chinese, Japanese and Korean and for emoji,
//! none for an accent that joins the character before it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Draws the character before it as an emoji, which is wider.
const EMOJI_STYLE: char = '\u{fe0f}';

/// The columns of a text.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The columns of a character by itself, at least one.
pub fn width_of(c: char) -> usize {
    c.width().unwrap_or(1).max(1)
}

/// The start of `text` that fits into `room` columns.
pub fn cut(text: &str, room: usize) -> &str {
    let mut used = 0;
    // characters that are drawn as one, such as a family, are counted one by one, so the result may be narrower
    let exceeds = |&(_, c): &(usize, char)| {
        used += if c == EMOJI_STYLE { 1 } else { c.width().unwrap_or(1) };
        used > room
    };
    text.char_indices().find(exceeds).map_or(text, |(end, _)| &text[..end])
}

/// `text`, or its start with `…` if it takes more than `room` columns.
pub fn shorten(text: &str, room: usize) -> String {
    if width(text) <= room { text.to_owned() } else { format!("{}…", cut(text, room.saturating_sub(1))) }
}

/// `text` with spaces up to `room` columns.
pub fn pad(text: &str, room: usize) -> String {
    format!("{text}{}", " ".repeat(room.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wide_character_is_not_split_by_the_edge() {
        assert_eq!((width("模型"), width("e\u{301}"), width("🚀"), width("❤\u{fe0f}")), (4, 1, 2, 2));
        assert_eq!((cut("模型", 3), cut("模型", 4), cut("❤\u{fe0f}", 1)), ("模", "模型", "❤"));
        assert_eq!(cut("e\u{301}e\u{301}", 1), "e\u{301}");
        assert_eq!((shorten("模型", 4), shorten("模型", 3)), ("模型".to_owned(), "模…".to_owned()));
        assert_eq!((pad("模型", 6), pad("模型", 2)), ("模型  ".to_owned(), "模型".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in "[a-z\u{300}-\u{303}模-模🚀❤👩🔬🏽\u{fe0f}\u{200d}\t]{0,40}|.{0,20}", room in 0_usize..40) {
            prop_assert!(width(cut(&text, room)) <= room);
        }
    }
}
