//! What a pull request of `mirror update` says.

use mirror_oci::Digest;

use crate::ci::markdown::{COMMENT_BUDGET, Page, code, short};

/// An image whose line in the tree is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagUpdate {
    /// The file, as a path in the repository.
    pub file: String,
    /// The image, fully spelled, without tag.
    pub name: String,
    /// The tag that the tree has.
    pub from: String,
    /// The tag that comes next; the same, if it was pushed again.
    pub to: String,
    /// The digest that it has now.
    pub digest: Digest,
}

/// The title of a pull request with these updates, and its text in Markdown. `group` is what they have in common, such as
/// a registry.
///
/// ```
/// use mirror_render::ci::{TagUpdate, update_markdown};
///
/// let digest = format!("sha256:{}", "a".repeat(64)).parse()?;
/// let update = TagUpdate {
///     file: "images/quay.io/a/b/Dockerfile".to_owned(),
///     name: "quay.io/a/b".to_owned(),
///     from: "1.2-alpine3.20".to_owned(),
///     to: "1.3-alpine3.21".to_owned(),
///     digest,
/// };
/// let (title, text) = update_markdown(&[update], None);
/// assert_eq!(title, "Update quay.io/a/b to 1.3-alpine3.21");
/// assert!(text.contains("| `quay.io/a/b` | `1.2-alpine3.20` | `1.3-alpine3.21` |"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn update_markdown(updates: &[TagUpdate], group: Option<&str>) -> (String, String) {
    let title = match (updates, group) {
        ([one], _) if one.from == one.to => {
            format!("Refresh the digest of {}:{}", one.name, one.to)
        }
        ([one], _) => format!("Update {} to {}", one.name, one.to),
        (all, None) => format!("Update {} images", all.len()),
        (all, Some(group)) => format!("Update {} images of {group}", all.len()),
    };
    let mut page = Page::new(COMMENT_BUDGET);
    page.always(
        "Newer tags that no bot proposes, and tags that were pushed again, as `mirror update` finds them. This pull request \
         is kept up to date until somebody else pushes to its branch. Close it to pass over these updates.\n\n",
    );
    page.row("| image | tag | new tag | new digest | file |\n|---|---|---|---|---|\n");
    for TagUpdate { file, name, from, to, digest } in updates {
        let new = if from == to { "the same".to_owned() } else { code(to) };
        let (name, from, file) = (code(name), code(from), code(file));
        page.row(&format!("| {name} | {from} | {new} | {} | {file} |\n", short(digest)));
    }
    (title, page.finish())
}
