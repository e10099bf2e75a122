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
/// use mirror_tree::folder_keep;
///
/// let name = "postgres:13.6".parse::<Reference>()?.name;
/// let keep = folder_keep("docker.io/library/postgres/13/Dockerfile", &name);
/// assert!(keep.allows("13.7") && !keep.allows("14.0"));
/// assert!(folder_keep("docker.io/library/postgres/alpine/Dockerfile", &name).allows("14.0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn folder_keep(file: &str, name: &Name) -> Keep {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let variants = folder.strip_prefix(&name.to_string()).unwrap_or_default();
    variants.split('/').find_map(Keep::of_variant).unwrap_or_default()
}

/// A folder that says another version than the FROM line.
pub(crate) fn variant_mismatch(
    file: &str,
    source: &Arc<str>,
    from: &FromLine,
) -> Option<TreeDiagnostic> {
    let tag = from.version.tag()?.as_str();
    let keep = folder_keep(file, &from.name);
    // A tag without version moves within nothing.
    if Reading::of(tag).floats() || keep.allows(tag) {
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
