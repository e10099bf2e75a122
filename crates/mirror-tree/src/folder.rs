//! Folders: what an entry may be called, and what that says of it.

use std::sync::Arc;

use mirror_oci::Name;

use crate::diagnostic::{Code, Fix, TreeDiagnostic};
use crate::dockerfile::FromLine;
use crate::version::{Keep, Reading};

/// What the folder of a file says about how far its entry may move: the numbers of the first variant folder that has any.
///
/// ```
/// use mirror_oci::Reference;
/// use mirror_tree::{folder_keep, version::Keep};
///
/// let name = "postgres:13.6".parse::<Reference>()?.name;
/// let keep = folder_keep("docker.io/library/postgres/13/Dockerfile", &name, Some("13.6"));
/// assert!(keep.allows("13.7") && !keep.allows("14.0"));
/// let file = "docker.io/library/postgres/13.6-alpine3.20/Dockerfile";
/// assert!(matches!(folder_keep(file, &name, Some("13.6-alpine3.20")), Keep::Exact));
/// let keep = folder_keep("docker.io/library/postgres/alpine/Dockerfile", &name, Some("13.6-alpine"));
/// assert!(keep.allows("14.0-alpine"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn folder_keep(file: &str, name: &Name, tag: Option<&str>) -> Keep {
    let keep = variants(file, name).find_map(Keep::of_variant).unwrap_or_default();
    match tag {
        Some(tag) if variants(file, name).last() == Some(tag) && is_more(tag, &keep) => Keep::Exact,
        _ => keep,
    }
}

/// Whether the variant folders of an entry let its tag become another one beside the version: `16-alpine3.20` keeps it on
/// `alpine3.20`. What is in the name of a folder and not in the tag says nothing.
///
/// ```
/// use mirror_oci::Reference;
/// use mirror_tree::folder_allows;
///
/// let name = "postgres:16".parse::<Reference>()?.name;
/// let file = "docker.io/library/postgres/16-alpine3.20/Dockerfile";
/// let allows = |next: &str| folder_allows(file, &name, "16.3-alpine3.20", next);
/// assert!(allows("16.4-alpine3.20") && !allows("16.4-alpine3.21"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn folder_allows(file: &str, name: &Name, tag: &str, next: &str) -> bool {
    let has_digit = |piece: &&str| piece.contains(|c: char| c.is_ascii_digit());
    let said = variants(file, name).flat_map(pieces).filter(has_digit);
    let mut said = said.filter(|said| pieces(tag).any(|piece| piece == *said));
    said.all(|said| pieces(next).any(|piece| piece == said))
}

/// The variant folders that a file is in.
fn variants<'a>(file: &'a str, name: &Name) -> impl Iterator<Item = &'a str> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = folder.strip_prefix(&name.to_string()).unwrap_or_default();
    below.split('/').filter(|part| !part.is_empty())
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(['-', '_', '+']).filter(|piece| !piece.is_empty())
}

/// Whether a tag says more than the numbers that its folder keeps.
fn is_more(tag: &str, keep: &Keep) -> bool {
    let reading = Reading::of(tag);
    !reading.floats() && (!keep.holds_all(tag) || reading.has_more())
}

/// A folder that says another version than the FROM line.
pub(crate) fn variant_mismatch(
    file: &str,
    source: &Arc<str>,
    from: &FromLine,
) -> Option<TreeDiagnostic> {
    let tag = from.version.tag()?.as_str();
    let keep = folder_keep(file, &from.name, Some(tag));
    // A tag without version moves within nothing.
    if !Reading::of(tag).has_version() || matches!(keep, Keep::Exact) || keep.allows(tag) {
        return None;
    }
    Some(TreeDiagnostic {
        code: Code::VariantMismatch,
        file: file.to_owned(),
        source: Some(source.clone()),
        span: Some(from.span.clone()),
        message: format!("the folder keeps this image on {keep}, but its tag is `{tag}`"),
        help: Some(
            "name a tag that starts with these numbers, or rename the folder: a number in its name says how far the \
             bots may go"
                .to_owned(),
        ),
        fix: None,
    })
}

/// A file in a folder that is not that of its image.
pub(crate) fn folder_mismatch(
    file: &str,
    source: &Arc<str>,
    from: &FromLine,
    is_free: impl Fn(&str) -> bool,
) -> Option<TreeDiagnostic> {
    let (folder, base) = file.rsplit_once('/').unwrap_or(("", file));
    let expected = from.name.to_string();
    let variant = folder.strip_prefix(expected.as_str());
    if variant.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let target = format!("{expected}/{base}");
    let free = is_free(&target);
    let found = if folder.is_empty() {
        "the top of the tree".to_owned()
    } else {
        format!("folder `{folder}`")
    };
    Some(TreeDiagnostic {
        code: Code::FolderMismatch,
        file: file.to_owned(),
        source: Some(source.clone()),
        span: Some(from.span.clone()),
        message: format!("this is {expected}, but the file is in {found}"),
        help: Some(if free {
            format!("move it to `{target}`")
        } else {
            format!(
                "`{target}` exists already: move it to a variant folder, `{expected}/<variant>/{base}`"
            )
        }),
        fix: free.then_some(Fix::Move(target)),
    })
}
