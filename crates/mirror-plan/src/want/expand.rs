//! Wants: from the tree and the configuration, destination by destination.

use std::collections::BTreeMap;

use mirror_oci::{Platforms, Registry, Repository, Tag, Version};
use mirror_tree::Entry;

use crate::config::Config;
use crate::config::location::Location;
use crate::provider::Provider;
use crate::want::model::{Collision, Source, Target, Want, Wants};
use crate::want::resource::{RepositoryAt, RepositoryWant};
use crate::want::section::Destination;
use crate::want::template::Template;

/// Turns entries into wants, and finds the ones that exclude each other. Entries that want the very same thing
/// become one want.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::want::expand;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
/// let wants = expand(&[entry], &Config::default());
/// assert_eq!(wants.wants[0].target.shown(), "docker.io/library/redis:7.2");
/// assert!(wants.collisions.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn expand(entries: &[Entry], config: &Config) -> Wants {
    let mut found = Wants::default();
    let mut by_target: BTreeMap<Address, Vec<Want>> = BTreeMap::new();
    for entry in entries {
        for destination in &config.destinations {
            match want(entry, destination, config) {
                outcome if !config.sends(&entry.name, &destination.name) => {
                    found.elsewhere.extend(outcome);
                }
                Err(collision) => found.collisions.push(collision),
                Ok(want) => {
                    by_target.entry(address(&want)).or_default().push(want);
                }
            }
        }
    }
    let all: Vec<Want> = by_target.values().flatten().cloned().collect();
    for wants in by_target.into_values() {
        match wants.as_slice() {
            [first, others @ ..] if others.iter().all(|other| other.source == first.source) => {
                found.wants.push(first.clone());
            }
            [first, ..] => {
                found.collisions.push(collision(first, &wants));
                found.contended.extend(wants);
            }
            [] => {}
        }
    }
    found
        .wants
        .sort_by(|a, b| (&a.file, &a.target.destination).cmp(&(&b.file, &b.target.destination)));
    found.repositories = repositories(&all, config);
    found.drop_contradictions();
    found.collisions.sort_by(|a, b| (&a.files, &a.destination).cmp(&(&b.files, &b.destination)));
    found
}

impl Wants {
    /// Two destinations of one registry may lead to one repository, but they can't both have their way with it.
    fn drop_contradictions(&mut self) {
        let mut by_repository: BTreeMap<(Registry, Repository), Vec<RepositoryWant>> =
            BTreeMap::new();
        for want in std::mem::take(&mut self.repositories) {
            let repository = (want.at.registry.clone(), want.at.repository.clone());
            by_repository.entry(repository).or_default().push(want);
        }
        for ((registry, repository), kept) in by_repository {
            let first = kept.first().map(|want| (want.create, want.settings.clone()));
            if kept.iter().all(|want| Some((want.create, want.settings.clone())) == first) {
                self.repositories.extend(kept);
                continue;
            }
            let names: Vec<String> = kept.iter().map(|want| want.at.destination.clone()).collect();
            let location = Location::Registry(registry);
            let (lost, left): (Vec<Want>, Vec<Want>) =
                std::mem::take(&mut self.wants).into_iter().partition(|want| {
                    want.target.location == location && want.target.repository == repository
                });
            self.wants = left;
            self.contended.extend(lost.iter().cloned());
            self.collisions.push(Collision {
                files: lost.into_iter().map(|want| want.file).collect(),
                destination: names.join(" and "),
                target: repository.to_string(),
                reason: format!(
                    "the destinations {} lead to one repository and keep it in different ways",
                    names.join(" and ")
                ),
            });
        }
        self.repositories.sort_by(|a, b| a.at.cmp(&b.at));
    }
}

fn repositories(wants: &[Want], config: &Config) -> Vec<RepositoryWant> {
    let mut found: BTreeMap<RepositoryAt, RepositoryWant> = BTreeMap::new();
    for want in wants {
        let Target { destination, location, repository, .. } = &want.target;
        let rules = config.destinations.iter().find(|known| known.name == *destination);
        let (Some(rules), Location::Registry(registry)) =
            (rules.and_then(|known| known.repositories.as_ref()), location)
        else {
            continue;
        };
        let (destination, repository) = (destination.clone(), repository.clone());
        let (create, settings) = rules.of(&repository);
        let at = RepositoryAt { destination, registry: registry.clone(), repository };
        found.insert(at.clone(), RepositoryWant { at, create, settings });
    }
    found.into_values().collect()
}

/// What a copy is fetched by at its destination. Two wants with one address fight over it.
pub(crate) type Address = (Location, Repository, Option<Version>, Option<Tag>);

pub(crate) fn address(want: &Want) -> Address {
    let target = &want.target;
    // Without a tag nothing is fought over: the digest is the address.
    let version = target.tag.is_none().then(|| want.source.version.clone());
    (target.location.clone(), target.repository.clone(), version, target.tag.clone())
}

fn want(entry: &Entry, destination: &Destination, config: &Config) -> Result<Want, Collision> {
    let collision = |target: &str, reason: String| Collision {
        files: vec![entry.file.clone()],
        destination: destination.name.clone(),
        target: target.to_owned(),
        reason,
    };
    let filled = |template: &Template| {
        template.filled(entry).map_err(|field| {
            let how = if field == "digest" { ": `mirror pin` writes it" } else { "" };
            let reason = format!("`{template}` needs the {field}, which the reference lacks{how}");
            collision(&format!("{}{}", entry.name, entry.version), reason)
        })
    };
    let text = filled(&destination.repository)?;
    let unfit = |reason: String| {
        collision(&text, format!("`{text}` can't be the name of a repository: {reason}"))
    };
    let repository = text.parse::<Repository>().map_err(|error| unfit(error.to_string()))?;
    if let Location::Registry(registry) = &destination.location
        && let Some(problem) = Provider::of(registry).name_problem(&repository)
    {
        return Err(unfit(problem));
    }
    let tag = match (&destination.tag, entry.version.tag()) {
        (Some(template), Some(_)) => {
            let text = filled(template)?;
            let tag = text
                .parse::<Tag>()
                .map_err(|error| collision(&text, format!("`{text}` can't be a tag: {error}")))?;
            Some(tag)
        }
        (_, tag) => tag.cloned(),
    };
    let platforms = match (&entry.platform, config.platforms(&entry.name)) {
        (Some(platform), _) => Platforms::One(platform.clone()),
        (None, None) => Platforms::All,
        (None, Some([platform])) => Platforms::One(platform.clone()),
        (None, Some(several)) => Platforms::Some(several.to_vec()),
    };
    Ok(Want {
        file: entry.file.clone(),
        source: Source { name: entry.name.clone(), version: entry.version.clone(), platforms },
        target: Target {
            destination: destination.name.clone(),
            location: destination.location.clone(),
            repository,
            tag,
            digest: entry.version.digest().filter(|_| entry.version.tag().is_none()).cloned(),
        },
    })
}

fn collision(first: &Want, wants: &[Want]) -> Collision {
    let mut files: Vec<String> = wants.iter().map(|want| want.file.clone()).collect();
    files.dedup();
    let sources: Vec<String> = wants.iter().map(|want| describe(&want.source)).collect();
    let tag = first.target.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    Collision {
        files,
        destination: first.target.destination.clone(),
        target: format!("{}{tag}", first.target.repository),
        reason: format!("different images would go to one tag: {}", sources.join(", ")),
    }
}

fn describe(source: &Source) -> String {
    match &source.platforms {
        Platforms::All => format!("{}{}", source.name, source.version),
        Platforms::One(platform) => format!("{}{} ({platform})", source.name, source.version),
        Platforms::Some(platforms) => {
            let names: Vec<_> = platforms.iter().map(ToString::to_string).collect();
            format!("{}{} ({})", source.name, source.version, names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, reference: &str, platform: Option<&str>) -> Entry {
        let parsed: mirror_oci::Reference = reference.parse().unwrap();
        Entry {
            file: file.to_owned(),
            version: parsed.version().unwrap(),
            name: parsed.name,
            platform: platform.map(|platform| platform.parse().unwrap()),
            span: 0..0,
            source: "".into(),
        }
    }

    fn targets(wants: &Wants) -> Vec<String> {
        let tag =
            |want: &Want| want.target.tag.as_ref().map_or("-".to_owned(), ToString::to_string);
        wants
            .wants
            .iter()
            .map(|w| format!("{} {}:{}", w.target.destination, w.target.repository, tag(w)))
            .collect()
    }

    #[test]
    fn one_for_each_destination() {
        let config = Config::parse(
            "[[destination]]\nname='a'\nregistry='a.io'\n[[destination]]\nname='b'\nregistry='b.io'\nrepository='m/{name}'\n[[image]]\nmatch='quay.io/**'\ndestinations=['b']",
        )
        .unwrap();
        let entries = [
            entry("1", "postgres:14", None),
            entry("2", "quay.io/x/y:1", None),
            entry("3", "localhost:5000/z:1", None),
            entry("4", "[::1]:5000/v6:1", None),
        ];
        let wants = expand(&entries, &config);
        assert_eq!(wants.collisions, []);
        assert_eq!(
            targets(&wants),
            [
                "a docker.io/library/postgres:14",
                "b m/postgres:14",
                "b m/y:1",
                "a localhost-5000/z:1",
                "b m/z:1",
                "a 1--5000/v6:1",
                "b m/v6:1"
            ]
        );
    }

    #[test]
    fn collisions() {
        let config =
            Config::parse("[[destination]]\nname='b'\nregistry='b.io'\nrepository='{name}'")
                .unwrap();
        let digest = |c: char| format!("sha256:{}", c.to_string().repeat(64));
        let entries = [
            entry("1", "a/x:1", None),
            entry("2", "b/x:1", None),
            entry("3", &format!("y:1@{}", digest('a')), None),
            entry("4", &format!("y:1@{}", digest('b')), None),
            entry("5", "z:1", None),
            entry("6", "z:1", None),
            entry("7", "w:1", Some("linux/amd64")),
            entry("8", "w:1", Some("linux/arm64")),
            entry("9", &format!("v@{}", digest('a')), None),
            entry("91", &format!("v@{}", digest('b')), None),
        ];
        let wants = expand(&entries, &config);
        assert_eq!(targets(&wants), ["b z:1", "b v:-", "b v:-"]);
        let files: Vec<_> = wants.collisions.iter().map(|c| c.files.join(" ")).collect();
        assert_eq!(files, ["1 2", "3 4", "7 8"]);
        assert!(wants.collisions[0].reason.contains("docker.io/a/x:1, docker.io/b/x:1"));
        assert!(wants.collisions[2].reason.contains("(linux/amd64)"));
    }

    #[test]
    fn a_name_that_gets_too_long() {
        let config = Config::parse("[[destination]]\nname='b'\nregistry='b.io'").unwrap();
        let long = format!("quay.io/{}:1", ["abcdefghi"; 25].join("/"));
        let wants = expand(&[entry("1", &long, None)], &config);
        assert!(wants.collisions[0].reason.contains("longer than 255"), "{wants:?}");
    }
}
