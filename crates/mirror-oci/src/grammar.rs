//! What may stand in which part of a reference, and where a text breaks that.

use std::ops::Range;

use crate::reference_error::{ReferenceError, ReferenceErrorKind};

pub(crate) const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

pub(crate) fn error<T>(kind: ReferenceErrorKind, span: Range<usize>) -> Result<T, ReferenceError> {
    Err(ReferenceError { kind, span })
}

pub(crate) fn too_long(part: &'static str, limit: usize) -> ReferenceErrorKind {
    ReferenceErrorKind::TooLong { part, limit }
}

/// `span` of the character at byte `at` of `text`, which itself starts at `offset`.
fn bad_character<T>(
    part: &'static str,
    text: &str,
    at: usize,
    offset: usize,
) -> Result<T, ReferenceError> {
    let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
        return error(ReferenceErrorKind::Empty(part), offset + at..offset + at);
    };
    let start = offset + at;
    error(ReferenceErrorKind::Character { part, character }, start..start + character.len_utf8())
}

fn check_case(part: &'static str, text: &str, offset: usize) -> Result<(), ReferenceError> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return error(ReferenceErrorKind::UpperCase(part), offset..offset + text.len());
    }
    Ok(())
}

pub(crate) fn check_registry(text: &str, offset: usize) -> Result<(), ReferenceError> {
    const PART: &str = "registry";
    check_case(PART, text, offset)?;
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let Some((address, rest)) = inner.split_once(']') else {
                return bad_character(PART, text, 0, offset);
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return bad_character(PART, text, 1, offset);
            }
            let port = rest.strip_prefix(':');
            if port.is_none() && !rest.is_empty() {
                return bad_character(PART, text, address.len() + 2, offset);
            }
            (None, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    if let Some(host) = host {
        check_host(host, offset)?;
    }
    if let Some(port) = port {
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if !digits || !port.parse::<u16>().is_ok_and(|number| number > 0) {
            return error(
                ReferenceErrorKind::Port,
                offset + text.len() - port.len()..offset + text.len(),
            );
        }
    }
    Ok(())
}

fn check_host(host: &str, offset: usize) -> Result<(), ReferenceError> {
    const PART: &str = "registry";
    if host.len() > MAX_REPOSITORY {
        return error(too_long(PART, MAX_REPOSITORY), offset..offset + host.len());
    }
    let mut at = 0;
    for label in host.split('.') {
        if let Some(bad) = label.find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return bad_character(PART, host, at + bad, offset);
        }
        if label.is_empty() || label.starts_with('-') {
            return bad_character(PART, host, at, offset);
        }
        if label.ends_with('-') {
            return bad_character(PART, host, at + label.len() - 1, offset);
        }
        at += label.len() + 1;
    }
    Ok(())
}

pub(crate) fn check_repository(text: &str, offset: usize) -> Result<(), ReferenceError> {
    const PART: &str = "repository";
    check_case(PART, text, offset)?;
    if text.is_empty() {
        return error(ReferenceErrorKind::Empty(PART), offset..offset);
    }
    if text.len() > MAX_REPOSITORY {
        return error(too_long(PART, MAX_REPOSITORY), offset..offset + text.len());
    }
    let mut at = 0;
    for component in text.split('/') {
        check_component(text, component, at, offset)?;
        at += component.len() + 1;
    }
    Ok(())
}

/// One path component, which starts at byte `at` of `text`.
fn check_component(
    text: &str,
    component: &str,
    at: usize,
    offset: usize,
) -> Result<(), ReferenceError> {
    const PART: &str = "repository";
    let is_letter = |c: char| matches!(c, 'a'..='z' | '0'..='9');
    let mut rest = component;
    loop {
        let letters = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        let start = at + component.len() - rest.len();
        if letters == 0 {
            return bad_character(PART, text, start, offset);
        }
        rest = rest.get(letters..).unwrap_or("");
        if rest.is_empty() {
            return Ok(());
        }
        let separators = rest.find(is_letter).unwrap_or(rest.len());
        let separator = rest.get(..separators).unwrap_or("");
        let valid = matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
        if !valid || separators == rest.len() {
            return bad_character(PART, text, start + letters, offset);
        }
        rest = rest.get(separators..).unwrap_or("");
    }
}

pub(crate) fn check_tag(text: &str, offset: usize) -> Result<(), ReferenceError> {
    const PART: &str = "tag";
    if text.is_empty() {
        return error(ReferenceErrorKind::Empty(PART), offset.saturating_sub(1)..offset);
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some((at, _)) =
        text.char_indices().find(|(at, c)| !is_word(*c) && (*at == 0 || !matches!(c, '.' | '-')))
    {
        return bad_character(PART, text, at, offset);
    }
    if text.len() > MAX_TAG {
        return error(too_long(PART, MAX_TAG), offset..offset + text.len());
    }
    Ok(())
}
