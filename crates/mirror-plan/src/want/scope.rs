//! A part of the tree: what a glob names, or what has changed since a commit.

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{Digest, Name, Repository};
use mirror_tree::Entry;

use crate::config::Config;
use crate::config::glob::Glob;
use crate::want::expand::{Address, address, expand};
use crate::want::model::{Source, Target, Unwanted, Want, Wants};

/// Which part of a tree a plan is about; all of it by default.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::want::{Scope, expand};
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
/// let config = Config::default();
/// let wants = expand(&[entry], &config);
/// let scope = Scope { only: vec!["quay.io/**".parse()?], changes: None };
/// assert!(scope.narrow(wants, &config).wants.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Images that one of these names; all, if there are none.
    pub only: Vec<ImageGlob>,
    /// Images that have changed; all, if nothing is said.
    pub changes: Option<Changes>,
}

/// A glob over the names of images, `docker.io/library/postgres` or, in short, `postgres`.
///
/// ```
/// use mirror_oci::Reference;
/// use mirror_plan::want::ImageGlob;
///
/// let name = "postgres:14".parse::<Reference>()?.name;
/// for glob in ["postgres", "docker.io/library/*", "docker.io/**"] {
///     assert!(glob.parse::<ImageGlob>()?.matches(&name), "{glob}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageGlob(Glob);

impl std::str::FromStr for ImageGlob {
    type Err = String;

    fn from_str(text: &str) -> Result<ImageGlob, String> {
        text.parse().map(ImageGlob)
    }
}

impl ImageGlob {
    /// Whether it names this image.
    pub fn matches(&self, name: &Name) -> bool {
        self.0.matches(&name.to_string()) || self.0.matches(&name.familiar())
    }
}

/// What has changed in a tree since a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that were added or changed, with the path they had before, which is another one for a file that moved.
    /// Paths are relative to the tree.
    pub files: BTreeMap<String, Option<String>>,
    /// Entries of files that were changed, moved or deleted, as they were.
    pub before: Vec<Entry>,
    /// By file: digests that it named at any earlier commit, as far as the clone goes back.
    pub earlier: BTreeMap<String, BTreeSet<Digest>>,
    /// Whether the configuration has changed, and with it what every entry means.
    pub configuration: bool,
}

impl Scope {
    /// Leaves what is in scope, with what was there before.
    pub fn narrow(&self, wants: Wants, config: &Config) -> Wants {
        let mut left = wants;
        if let Some(changes) = &self.changes {
            left.unwanted = changes.unwanted(&left, config);
            left.previous = changes.previous(&left);
            left.earlier = changes.earlier.clone();
            if !changes.configuration {
                // What somebody else wanted at the same target before, and no longer does, is free now.
                let before = changes.before.iter().flat_map(|entry| wanted(entry, config));
                let freed: BTreeMap<Address, Source> =
                    before.map(|want| (address(&want), want.source)).collect();
                let changed = |file: &str| changes.files.contains_key(file);
                left.keep(changed, |want| {
                    let other =
                        freed.get(&address(want)).is_some_and(|other| *other != want.source);
                    changed(&want.file) || other
                });
            }
        }
        if !self.only.is_empty() {
            let named = |name: &Name| self.only.iter().any(|glob| glob.matches(name));
            let gone = self.changes.iter().flat_map(|changes| &changes.before);
            let gone: BTreeSet<&str> =
                gone.filter(|entry| named(&entry.name)).map(|entry| entry.file.as_str()).collect();
            left.unwanted.retain(|item| gone.contains(item.file.as_str()));
            left.keep(|_| true, |want| named(&want.source.name));
        }
        left
    }
}

impl Wants {
    /// Leaves wants, the collisions that one of them is part of, and the repositories that are still needed. A collision
    /// that is about no want, such as a name that can't be, goes by its file.
    fn keep(&mut self, file: impl Fn(&str) -> bool, in_scope: impl Fn(&Want) -> bool) {
        self.wants.retain(&in_scope);
        let (mine, others): (Vec<Want>, Vec<Want>) =
            std::mem::take(&mut self.contended).into_iter().partition(in_scope);
        let is_of =
            |wants: &[Want], files: &[String]| wants.iter().any(|want| files.contains(&want.file));
        self.collisions.retain(|collision| {
            let files = &collision.files;
            let about_none = !is_of(&mine, files) && !is_of(&others, files);
            is_of(&mine, files) || (about_none && files.iter().any(|name| file(name)))
        });
        self.contended = mine;
        let needed: BTreeSet<(&str, &Repository)> = self
            .wants
            .iter()
            .map(|want| (want.target.destination.as_str(), &want.target.repository))
            .collect();
        self.repositories
            .retain(|want| needed.contains(&(want.at.destination.as_str(), &want.at.repository)));
    }
}

/// What an entry wants by itself.
fn wanted(entry: &Entry, config: &Config) -> Vec<Want> {
    expand(std::slice::from_ref(entry), config).wants
}

impl Changes {
    /// The path of a file that was there before. One that moved is another one: what it was about before is still
    /// worth a line, if nobody wants it now.
    fn stayed<'a>(&self, file: &'a str) -> Option<&'a str> {
        (self.files.get(file)?.as_deref() == Some(file)).then_some(file)
    }

    /// What each changed file said before, where it was about the same image.
    fn previous(&self, wants: &Wants) -> BTreeMap<String, String> {
        let before: BTreeMap<&str, &Entry> =
            self.before.iter().map(|entry| (entry.file.as_str(), entry)).collect();
        let pairs = wants.wants.iter().filter_map(|want| {
            let stayed = self.stayed(&want.file).and_then(|file| before.get(file).copied());
            // A file that was renamed on the way says the same of the same tag.
            let renamed = || {
                let tag = want.source.version.tag();
                self.before.iter().find(|earlier| {
                    earlier.name == want.source.name
                        && earlier.version.tag() == tag
                        && earlier.version.digest().is_some()
                })
            };
            let earlier = stayed.or_else(renamed)?;
            let same = earlier.name == want.source.name && earlier.version == want.source.version;
            (earlier.name == want.source.name && !same)
                .then(|| (want.file.clone(), format!("{}{}", earlier.name, earlier.version)))
        });
        pairs.collect()
    }

    /// What was wanted before and is not wanted now. The old tag of an image that got a new one is not named here.
    fn unwanted(&self, wants: &Wants, config: &Config) -> Vec<Unwanted> {
        let all = || wants.wants.iter().chain(&wants.contended);
        let now: BTreeSet<Address> = all().map(address).collect();
        let followed: BTreeSet<(&str, &str, &Repository)> = all()
            .filter_map(|want| {
                let earlier = self.stayed(&want.file)?;
                Some((earlier, want.target.destination.as_str(), &want.target.repository))
            })
            .collect();
        let mut found = Vec::new();
        for entry in &self.before {
            for want in wanted(entry, config) {
                let Target { destination, repository, tag, .. } = &want.target;
                let follows = followed.contains(&(&entry.file, destination, repository));
                if follows || now.contains(&address(&want)) {
                    continue;
                }
                found.push(Unwanted {
                    file: entry.file.clone(),
                    source: format!("{}{}", entry.name, entry.version),
                    destination: destination.clone(),
                    repository: repository.clone(),
                    tag: tag.clone(),
                });
            }
        }
        found.sort_by(|a, b| (&a.file, &a.destination).cmp(&(&b.file, &b.destination)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, reference: &str) -> Entry {
        let parsed: mirror_oci::Reference = reference.parse().unwrap();
        let version = parsed.version().unwrap();
        let (file, source) = (file.to_owned(), "".into());
        Entry { file, version, name: parsed.name, platform: None, span: 0..0, source }
    }

    fn narrowed(now: &[Entry], scope: &Scope) -> Wants {
        let config = Config::parse("[[destination]]\nname='p'\nregistry='r.io'").unwrap();
        scope.narrow(expand(now, &config), &config)
    }

    fn files(wants: &Wants) -> Vec<&str> {
        wants.wants.iter().map(|want| want.file.as_str()).collect()
    }

    #[test]
    fn globs_take_both_spellings() {
        let now = [entry("a", "postgres:14"), entry("b", "quay.io/x/y:1"), entry("c", "x/y:1")];
        for (globs, expected) in [
            (vec!["postgres"], vec!["a"]),
            (vec!["docker.io/library/*"], vec!["a"]),
            (vec!["quay.io/**", "postgres"], vec!["a", "b"]),
            (vec!["*"], vec!["a"]),
            (vec!["**"], vec!["a", "b", "c"]),
            (vec!["redis"], vec![]),
        ] {
            let only = globs.iter().map(|glob| glob.parse().unwrap()).collect();
            let left = narrowed(&now, &Scope { only, changes: None });
            assert_eq!(files(&left), expected, "{globs:?}");
        }
        assert!("[".parse::<ImageGlob>().is_err());
    }

    #[test]
    fn what_changed_moved_and_went() {
        let now = [
            entry("bumped", "postgres:14.3"),
            entry("moved/to", "redis:7"),
            entry("new", "nginx:1"),
            entry("other", "alpine:3"),
            entry("replaced", "team/new:1"),
        ];
        let same = |file: &str| (file.to_owned(), Some(file.to_owned()));
        let changes = Changes {
            earlier: BTreeMap::new(),
            files: [
                same("bumped"),
                ("moved/to".to_owned(), Some("moved/from".to_owned())),
                ("new".to_owned(), None),
                same("replaced"),
            ]
            .into(),
            before: vec![
                entry("bumped", "postgres:14.2"),
                entry("moved/from", "redis:7"),
                entry("gone", "memcached:1"),
                entry("twin", "alpine:3"),
                entry("replaced", "team/old:1"),
            ],
            configuration: false,
        };
        let mut scope = Scope { only: Vec::new(), changes: Some(changes) };
        let left = narrowed(&now, &scope);
        assert_eq!(files(&left), ["bumped", "moved/to", "new", "replaced"]);
        assert_eq!(
            left.previous,
            [("bumped".to_owned(), "docker.io/library/postgres:14.2".to_owned())].into()
        );
        let gone: Vec<String> = left.unwanted.iter().map(Unwanted::target).collect();
        // alpine:3 is wanted by another file.
        assert_eq!(gone, ["docker.io/library/memcached:1", "docker.io/team/old:1"]);
        scope.only = vec!["team/*".parse().unwrap()];
        let left = narrowed(&now, &scope);
        assert_eq!((files(&left), left.unwanted.len()), (vec!["replaced"], 1));
        scope.only.clear();
        scope.changes.as_mut().unwrap().configuration = true;
        assert_eq!(narrowed(&now, &scope).wants.len(), 5);
    }

    #[test]
    fn places_that_are_contended_or_become_free() {
        let digest = |c: char| format!("sha256:{}", c.to_string().repeat(64));
        let (a, b) =
            (format!("postgres:14@{}", digest('a')), format!("postgres:14@{}", digest('b')));
        let changes = |files: &[&str], before: Vec<Entry>| Scope {
            only: Vec::new(),
            changes: Some(Changes {
                earlier: BTreeMap::new(),
                files: files
                    .iter()
                    .map(|file| ((*file).to_owned(), Some((*file).to_owned())))
                    .collect(),
                before,
                configuration: false,
            }),
        };
        // One of two is bumped: a conflict, but nobody has stopped wanting the tag.
        let now = [entry("one", &a), entry("two", &b)];
        let left = narrowed(&now, &changes(&["two"], vec![entry("two", &a)]));
        assert_eq!((left.collisions.len(), left.unwanted.len()), (1, 0));
        // One of two that were in conflict is gone: the other one can be copied.
        let left = narrowed(&now[..1], &changes(&[], vec![entry("two", &b)]));
        assert_eq!((files(&left), left.unwanted.len()), (vec!["one"], 0));
        // A collision of others is none of ours.
        let all = [entry("one", &a), entry("two", &b), entry("three", "redis:7")];
        let only = |glob: &str| Scope { only: vec![glob.parse().unwrap()], changes: None };
        assert_eq!(narrowed(&all, &only("redis")).collisions, []);
        assert_eq!(narrowed(&all, &only("postgres")).collisions.len(), 1);
        // A name that can't be at a destination is nobody's want, but told where it was changed.
        let long = format!("quay.io/{}:1", ["abcdefghi"; 25].join("/"));
        let all = [entry("long", &long), entry("three", "redis:7")];
        assert_eq!(narrowed(&all, &changes(&["long"], Vec::new())).collisions.len(), 1);
        assert_eq!(narrowed(&all, &changes(&["three"], Vec::new())).collisions.len(), 0);
        // Without tags, digests are what is wanted.
        let left = narrowed(
            &[entry("one", &format!("x@{}", digest('a')))],
            &changes(&[], vec![entry("gone", &format!("x@{}", digest('b')))]),
        );
        assert_eq!(left.unwanted[0].target(), format!("docker.io/library/x@{}", digest('b')));
    }
}
