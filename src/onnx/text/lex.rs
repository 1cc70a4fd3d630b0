//! Text to tokens.

use std::fmt;

use crate::error::{Error, Result};

/// A token of the ONNX text syntax.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A letter or `_`, then letters, digits and `_`.
    Word(&'a str),
    /// The contents of a quoted string.
    Text(String),
    /// Digits, perhaps behind a minus.
    Int(&'a str),
    /// A number with a point or an exponent, or a signed infinity or NaN.
    Float(&'a str),
    /// Any other single character.
    Mark(char),
    /// `=>`.
    Arrow,
    /// `…`, which stands where a printer left data out.
    Elided,
    /// The end of the text.
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Int(text) | Self::Float(text) => write!(f, "'{text}'"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Mark(mark) => write!(f, "'{mark}'"),
            Self::Arrow => f.write_str("'=>'"),
            Self::Elided => f.write_str("'…'"),
            Self::End => f.write_str("the end of the text"),
        }
    }
}

/// Whether `text` is a word that begins with no digit.
pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(in_word)
}

/// Whether `word` spells a float that is no number.
pub(super) fn is_special_float(word: &str) -> bool {
    ["inf", "infinity", "nan"].iter().any(|special| word.eq_ignore_ascii_case(special))
}

/// A failure at byte `offset` of `text`.
pub(super) fn error_at(text: &str, offset: usize, what: impl fmt::Display) -> Error {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    Error::unreadable(format!("line {line}, column {column}: {what}"))
}

/// The tokens of `text`, each with its byte offset, up to and with [`Token::End`].
///
/// # Errors
/// When a string has no end, or a minus stands before no number.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>> {
    let mut tokens = Vec::new();
    let mut rest = skip_blanks(text);
    while let Some(first) = rest.chars().next() {
        let offset = text.len() - rest.len();
        let (token, after) = match first {
            '"' => quoted(rest).ok_or_else(|| error_at(text, offset, "this string has no end"))?,
            '=' if rest.starts_with("=>") => (Token::Arrow, &rest[2..]),
            '…' => (Token::Elided, &rest['…'.len_utf8()..]),
            '-' | '0'..='9' => number(rest)
                .ok_or_else(|| error_at(text, offset, "expected a number behind the minus"))?,
            c if in_word(c) => {
                let (word, after) = split(rest, in_word);
                (Token::Word(word), after)
            }
            c => (Token::Mark(c), &rest[c.len_utf8()..]),
        };
        tokens.push((token, offset));
        rest = skip_blanks(after);
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn split(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

fn skip_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_ascii_start();
        // The vertical tab is a blank here, but not to `trim_ascii_start`.
        match text.chars().next() {
            Some('\u{b}') => text = &text[1..],
            Some('#') => text = split(text, |c| c != '\n').1,
            _ => return text,
        }
    }
}

/// A string up to its closing quote; a backslash keeps the character behind it.
fn quoted(text: &str) -> Option<(Token<'_>, &str)> {
    let mut contents = String::new();
    let mut chars = text.char_indices().skip(1);
    loop {
        match chars.next()? {
            (end, '"') => return Some((Token::Text(contents), &text[end + 1..])),
            (_, '\\') => contents.push(chars.next()?.1),
            (_, c) => contents.push(c),
        }
    }
}

fn number(text: &str) -> Option<(Token<'_>, &str)> {
    let digits = |text: &str| split(text, |c| c.is_ascii_digit()).1.len();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let finish = |rest: usize, float: bool| {
        let (number, after) = text.split_at(text.len() - rest);
        Some((if float { Token::Float(number) } else { Token::Int(number) }, after))
    };
    if unsigned.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let (word, after) = split(unsigned, in_word);
        return if is_special_float(word) { finish(after.len(), true) } else { None };
    }
    let tail = |rest: usize| &text[text.len() - rest..];
    let mut rest = digits(unsigned);
    if rest == unsigned.len() {
        return None;
    }
    let mut float = false;
    if let Some(fraction) = tail(rest).strip_prefix('.') {
        (float, rest) = (true, digits(fraction));
    }
    if let Some(exponent) = tail(rest).strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        (float, rest) = (true, digits(exponent));
    }
    finish(rest, float)
}
