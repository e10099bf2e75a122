//! How a host wants to be asked, remembered for each of its repositories: in some, each has a token service or a way of its
//! own (sonatype/nexus-public#921, oras-project/oras-go#650). What the host wanted first is the first guess for all.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use mirror_oci::Repository;

use super::challenge::Challenge;
use crate::wire::Reach;

/// A challenge, and how far whoever made it may send us for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) challenge: Challenge,
    pub(crate) reach: Reach,
    /// What a token has to be for beside what the request is about, where the registry calls the repository otherwise.
    pub(crate) scope: Option<String>,
}

/// What was learned of one host.
#[derive(Debug, Default)]
pub(crate) struct Challenges(RwLock<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    first: Option<Asked>,
    /// Of those repositories that want something else.
    others: HashMap<Repository, Asked>,
    /// Repositories that have taken what was sent.
    settled: HashSet<Repository>,
}

impl Challenges {
    /// How a repository wants to be asked, as far as that is known.
    pub(crate) fn of(&self, repository: Option<&Repository>) -> Option<Asked> {
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = repository.and_then(|repository| remembered.others.get(repository));
        own.or(remembered.first.as_ref()).cloned()
    }

    /// What a repository was sent is right.
    pub(crate) fn settle(&self, repository: &Repository) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.settled.contains(repository) {
            return;
        }
        drop(known);
        let mut remembered = self.0.write().unwrap_or_else(PoisonError::into_inner);
        remembered.settled.insert(repository.clone());
    }

    /// Whether nothing but what another repository wants is known of this one.
    pub(crate) fn is_guess(&self, repository: &Repository) -> bool {
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        remembered.first.is_some()
            && !remembered.settled.contains(repository)
            && !remembered.others.contains_key(repository)
    }

    /// Remembers how a repository wants to be asked.
    pub(crate) fn learn(&self, repository: Option<&Repository>, asked: Asked) {
        let mut remembered = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let first = remembered.first.get_or_insert_with(|| asked.clone());
        match repository {
            Some(repository) if *first != asked => {
                remembered.others.insert(repository.clone(), asked);
            }
            Some(repository) => drop(remembered.others.remove(repository)),
            None => *first = asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_a_guess_for_all() {
        let asked = |realm: &str| Asked {
            challenge: Challenge::Bearer { realm: realm.into(), service: None },
            reach: Reach::Public,
            scope: None,
        };
        let names: Vec<Repository> = ["a", "b"].iter().map(|name| name.parse().unwrap()).collect();
        let [a, b] = [names.first(), names.last()];
        let challenges = Challenges::default();
        assert_eq!(challenges.of(a), None);
        challenges.learn(a, asked("1"));
        challenges.learn(b, asked("2"));
        assert_eq!((challenges.of(a), challenges.of(b)), (Some(asked("1")), Some(asked("2"))));
        assert_eq!(challenges.of(None), Some(asked("1")));
        challenges.learn(b, asked("1"));
        assert_eq!(challenges.of(b), Some(asked("1")));
    }
}
