//! A host of the world: a registry with the way to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::ecr::FakeEcr;
use crate::profile::Profile;
use crate::registry::Registry;
use crate::world::dice::Dice;
use crate::world::faults;
use crate::world::link::Line;
use crate::world::quirks::REGION;
use crate::world::story::{HostStory, Role};

/// A host of the world.
pub(crate) struct Place {
    pub(crate) role: Role,
    /// The registry; the one of the account, where there is none.
    own: Option<Registry>,
    pub(crate) line: Arc<Line>,
    /// Requests at once that it may get.
    pub(crate) concurrency: Option<usize>,
    /// What may be sent here of secrets: those of these hosts.
    pub(crate) trusted_by: BTreeSet<String>,
    /// Whether it serves blobs for another one, and needs no secret at all.
    pub(crate) is_cdn: bool,
}

impl Place {
    pub(crate) fn registry<'a>(&'a self, account: &'a FakeEcr) -> &'a Registry {
        self.own.as_ref().unwrap_or_else(|| account.registry(REGION))
    }

    /// The hosts of a story: the registry, and those that make tokens and serve blobs for it.
    pub(crate) fn all(
        story: &HostStory,
        seed: u64,
        account: &FakeEcr,
        calm: &Arc<AtomicBool>,
    ) -> Vec<(String, Place)> {
        let HostStory { name, authority, .. } = story;
        let own = (!story.profile.ecr)
            .then(|| Registry::without_server(story.profile.clone(), authority));
        let line = |of: &str| Arc::new(Line::new(story.link.clone(), Dice::of(seed, of)));
        let place = |own, line, is_cdn| Place {
            role: story.role,
            own,
            line,
            concurrency: None,
            trusted_by: BTreeSet::from([name.clone()]),
            is_cdn,
        };
        let registry = Place {
            concurrency: Some(story.concurrency.unwrap_or(64)),
            ..place(own, line(authority), false)
        };
        let rule = |of: &str| faults::rule(&story.troubles, Dice::of(seed, of), calm.clone());
        registry.registry(account).set_faults(rule(&format!("faults {name}")));
        if story.profile.ecr {
            let dice = Dice::of(seed, "faults of the account");
            account.set_refusals(faults::aws_rule(&story.aws, dice, calm.clone()));
        }
        let mut all = Vec::new();
        if let Some(realm) = &story.realm {
            // It gives the tokens that the registry takes.
            let tokens = registry.registry(account).with_same_tokens(&story.profile, realm);
            all.push((realm.clone(), place(Some(tokens), line(realm), false)));
        }
        if let Some(cdn) = &story.cdn {
            let profile = Profile { ranges: story.profile.ranges, ..Profile::default() };
            let blobs = Registry::beside(registry.registry(account), profile, cdn);
            blobs.set_faults(rule(&format!("faults {cdn}")));
            all.push((cdn.clone(), place(Some(blobs), line(cdn), true)));
        }
        all.push((authority.clone(), registry));
        all
    }
}
