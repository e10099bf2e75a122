//! Newer tags, and tags that moved, for people.

use mirror_failure::count;
use mirror_plan::report::{IncomparableTag, MovedTag, NewerTag, Outdated, TagsFailure};

use crate::people::failure::{Explained, explained};

/// What `mirror outdated` found.
///
/// ```
/// use mirror_plan::report::Outdated;
///
/// let text = mirror_render::people::render_outdated(&Outdated::default());
/// assert_eq!(text, "a bot can update all tags\n");
/// ```
pub fn render_outdated(found: &Outdated) -> String {
    let mut out = String::new();
    for NewerTag { name, tag, newest, major, proposed, reason, .. } in &found.images {
        out += &match (newest, major) {
            (Some(newest), Some(major)) => {
                format!("{name}:{tag} → {newest}; next major version: {major}\n")
            }
            (Some(newest), None) => format!("{name}:{tag} → {newest}\n"),
            (None, major) => format!(
                "{name}:{tag}; next major version: {}\n",
                major.as_deref().unwrap_or_default()
            ),
        };
        out += &format!("  {reason}\n");
        let proposed = proposed.as_ref().map(|tag| format!("  a bot proposes {tag} first\n"));
        out += &proposed.unwrap_or_default();
    }
    for IncomparableTag { name, tag, reason, .. } in &found.incomparable {
        out += &format!("{name}:{tag} {reason}\n");
    }
    for MovedTag { name, tag, pinned, upstream, .. } in &found.moved {
        out += &match upstream {
            Some(upstream) => format!(
                "{name}:{tag} was pushed again\n  the tree has {pinned}, upstream {upstream}; `mirror pin --only {name}` writes the new digest\n"
            ),
            None => format!("{name}:{tag} is gone upstream\n  the tree has {pinned}\n"),
        };
    }
    for TagsFailure { file, name, failure } in &found.failures {
        let Explained { security, cause, help } = explained(failure);
        out += &format!("error: could not look up the tags of {name} in {file}\n");
        security.iter().for_each(|security| out += &format!("  security: {security}\n"));
        out += &format!("  caused by: {cause}\n");
        help.iter().for_each(|help| out += &format!("  help: {help}\n"));
    }
    out += &match (found.looked_at, found.images.len()) {
        (0, _) => "a bot can update all tags\n".to_owned(),
        (looked, newer) => {
            let (newer, looked) = (count(newer as u64, "newer tag"), count(looked as u64, "tag"));
            let unknown = match found.incomparable.len() {
                0 => String::new(),
                some => format!(", {some} cannot be compared"),
            };
            format!("{newer} for {looked} that no bot updates{unknown}\n")
        }
    };
    if found.pinned > 0 {
        let gone = found.moved.iter().filter(|tag| tag.upstream.is_none()).count();
        let moved = count((found.moved.len() - gone) as u64, "tag");
        let pinned = count(found.pinned as u64, "tag");
        let gone = if gone > 0 { format!(", {gone} gone") } else { String::new() };
        out += &format!("{moved} pushed again{gone}, of {pinned} with a digest\n");
    }
    out
}
