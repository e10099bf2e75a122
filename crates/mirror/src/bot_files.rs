//! The files of a repository that Dependabot and Renovate read.

use std::fs;
use std::path::{Path, PathBuf};

use mirror_plan::bots::{is_dependabot_on, is_renovate_off};
use mirror_tree::{Bot, Bots};

use crate::files;

/// Where Dependabot looks.
const DEPENDABOT: [&str; 2] = [".github/dependabot.yml", ".github/dependabot.yaml"];

/// Where Renovate looks, in its order: <https://docs.renovatebot.com/configuration-options/>.
const RENOVATE: [&str; 9] = [
    "renovate.json",
    "renovate.json5",
    ".github/renovate.json",
    ".github/renovate.json5",
    ".gitlab/renovate.json",
    ".gitlab/renovate.json5",
    ".renovaterc",
    ".renovaterc.json",
    ".renovaterc.json5",
];

/// Where it looks last, and the key of its configuration there.
const PACKAGE: (&str, &str) = ("package.json", "renovate");

/// Thousands of images make a few hundred KiB.
const LARGEST: u64 = 16 << 20;

/// A file of a bot, as it is.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// The path as a person would write it.
    pub(crate) shown: &'static str,
    /// The key of the configuration in a file of others.
    pub(crate) key: Option<&'static str>,
    /// Its text; nothing if there is no file.
    pub(crate) text: Result<Option<String>, String>,
}

/// The file of a bot, or where it would be.
pub(crate) fn find(bot: Bot, root: &Path) -> Found {
    let present = |names: &[&'static str]| {
        names.iter().copied().find(|name| root.join(name).symlink_metadata().is_ok())
    };
    let (shown, key) = match bot {
        Bot::Dependabot => (present(&DEPENDABOT).unwrap_or(DEPENDABOT[0]), None),
        Bot::Renovate => match present(&RENOVATE) {
            Some(shown) => (shown, None),
            None if configures(root) => (PACKAGE.0, Some(PACKAGE.1)),
            None => (RENOVATE[0], None),
        },
    };
    let text = match files::read_below(root, Path::new(shown), LARGEST) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("it can't be read: {error}")),
    };
    Found { path: root.join(shown), shown, key, text }
}

/// Whether `package.json` has a configuration of Renovate.
fn configures(root: &Path) -> bool {
    let text = files::read_below(root, Path::new(PACKAGE.0), LARGEST);
    let value = text.ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    value.is_some_and(|value| value.get(PACKAGE.1).is_some_and(serde_json::Value::is_object))
}

/// Which bots look after the tree, as the files beside it say.
pub(crate) fn in_use(images: &Path) -> Bots {
    let (root, tree) = place(images);
    let text = |bot: Bot| find(bot, &root);
    let dependabot = text(Bot::Dependabot).text.ok().flatten();
    let renovate = text(Bot::Renovate);
    Bots {
        dependabot: dependabot.is_some_and(|text| is_dependabot_on(&text, &tree)),
        renovate: renovate
            .text
            .ok()
            .flatten()
            .is_some_and(|text| !is_renovate_off(&text, renovate.key)),
    }
}

/// The folder of the repository that a tree is in, and the path of the tree in it.
pub(crate) fn place(images: &Path) -> (PathBuf, String) {
    let images = fs::canonicalize(images).unwrap_or_else(|_| images.to_owned());
    let root = root(&images);
    let tree = images.strip_prefix(&root).unwrap_or(&images).display().to_string();
    (root, tree)
}

/// The folder of the repository that a tree is in, which may be the tree itself; the one above the tree, if it is in
/// none.
pub(crate) fn root(images: &Path) -> PathBuf {
    let found = images.ancestors().find(|folder| folder.join(".git").exists());
    found.or(images.parent()).unwrap_or(images).to_owned()
}
