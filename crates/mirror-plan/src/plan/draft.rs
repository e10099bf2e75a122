//! Comparing what is wanted with what is there.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Platforms, Repository};

use crate::plan::model::{Action, Change, Conflict, Copy, LookupFailure, Note, Plan, Unchanged};
use crate::plan::observed::Observed;
use crate::provider::setting::Settings;
use crate::want::model::{Postponed, Want, Wants};
use crate::want::resource::{RepositoryAction, RepositoryAt, RepositoryState, RepositoryWant};

impl Plan {
    /// Compares what is wanted with what is there.
    pub fn new(wants: &Wants, observed: &Observed) -> Plan {
        let mut plan = Plan { format_version: 1, ..Plan::default() };
        plan.add_repositories(wants, observed);
        let kept: BTreeMap<(&str, &Repository), &RepositoryWant> = wants
            .repositories
            .iter()
            .map(|want| ((want.at.destination.as_str(), &want.at.repository), want))
            .collect();
        for want in &wants.wants {
            let target = &want.target;
            let repository = kept.get(&(target.destination.as_str(), &target.repository)).copied();
            plan.add(want, wants, repository, observed);
        }
        plan.conflicts.extend(wants.collisions.iter().map(conflict));
        plan.unwanted.clone_from(&wants.unwanted);
        plan.postponed.extend(wants.postponed.iter().cloned());
        let strangers = observed.strangers.iter().cloned();
        plan.notes.extend(strangers.map(|registry| Note::AskedAsStranger { registry }));
        plan.notes.extend(notes(&wants.wants, observed));
        plan.add_alerts(wants, observed);
        plan.pulls = plan.count_pulls(observed);
        plan.totals = plan.count(observed);
        plan
    }

    fn add_repositories(&mut self, wants: &Wants, observed: &Observed) {
        for want in &wants.repositories {
            let at = want.at.clone();
            match observed.repositories.get(&at) {
                Some(Ok(None)) if want.create && !self.makes(&at) => {
                    let settings = want.provider().changes(&want.settings, &Settings::new());
                    self.actions.push(Action::CreateRepository(RepositoryAction { at, settings }));
                }
                Some(Ok(Some(state))) => self.compare(want, state, wants, observed),
                // Each want of it says so.
                Some(Ok(None) | Err(_)) | None => {}
            }
        }
    }

    /// Whether this is among the actions; another destination may lead to the same repository.
    fn makes(&self, at: &RepositoryAt) -> bool {
        self.repositories().any(|(_, action)| {
            action.at.registry == at.registry && action.at.repository == at.repository
        })
    }

    fn compare(
        &mut self,
        want: &RepositoryWant,
        state: &RepositoryState,
        wants: &Wants,
        observed: &Observed,
    ) {
        let at = &want.at;
        let provider = want.provider();
        let changes = provider.changes(&want.settings, &state.settings);
        let (fixed, settings): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| provider.is_fixed(change.setting));
        let fixed =
            fixed.into_iter().map(|change| Note::OtherEncryption { at: at.clone(), change });
        self.notes.extend(fixed);
        let named = wants.wants.iter().filter(|wanted| {
            wanted.target.destination == at.destination && wanted.target.repository == at.repository
        });
        let (tags, digests): (BTreeSet<_>, BTreeSet<_>) =
            named.map(|want| (want.target.tag.as_ref(), want.source.version.digest())).unzip();
        let images = state.expiring.iter().flat_map(|image| {
            let tags = image.tags.iter().filter(|tag| tags.contains(&Some(tag)));
            let mut named: Vec<String> = tags.map(ToString::to_string).collect();
            if named.is_empty() && digests.contains(&Some(&image.digest)) {
                named.push(image.digest.to_string());
            }
            named
        });
        let gone = gone(wants, at, observed);
        let (gone, images): (Vec<String>, Vec<String>) =
            images.partition(|image| gone.contains(image));
        if !images.is_empty() || !gone.is_empty() {
            self.notes.push(Note::WouldExpire { at: at.clone(), gone, images });
        }
        if let Some(why) = state.no_preview.clone() {
            self.notes.push(Note::NoPreview { at: at.clone(), why });
        }
        if !settings.is_empty() && !self.makes(at) {
            let action = RepositoryAction { at: at.clone(), settings };
            self.actions.push(Action::UpdateRepository(action));
        }
    }

    /// Why an image can't go to its repository as that is, or will be.
    fn hindrance(
        want: &Want,
        kept: &RepositoryWant,
        found: Option<&Digest>,
        observed: &Observed,
    ) -> Option<String> {
        match observed.repositories.get(&kept.at)?.as_ref().ok()? {
            None => (!kept.create)
                .then(|| "the repository does not exist, and `create` is false for it".to_owned()),
            Some(state) => {
                let (tag, found) = (want.target.tag.as_ref()?, found?);
                let mut settings = state.settings.clone();
                settings.extend(kept.settings.clone());
                kept.provider().keeps_tag(&settings, tag).then(|| {
                    format!(
                        "the tag is immutable there and is another image, {}; delete it there, or mirror another tag",
                        found.short()
                    )
                })
            }
        }
    }

    fn add(
        &mut self,
        want: &Want,
        wants: &Wants,
        kept: Option<&RepositoryWant>,
        observed: &Observed,
    ) {
        // What nobody has asked is unknown, and never absent.
        let unasked = |side| Failure::other(side, "it was not looked at; please report this");
        let found = observed.targets.get(&want.target).cloned();
        let found = found.unwrap_or_else(|| Err(unasked(Side::Destination)));
        let wanted = observed.sources.get(&want.source).cloned();
        let wanted = wanted.unwrap_or_else(|| Err(unasked(Side::Source)));
        let (wanted, found) = match (wanted, found) {
            (Ok(wanted), Ok(found)) => (wanted, found),
            (Err(failure), found) => {
                return self.fail(want, failure, found.ok().flatten(), observed);
            }
            (_, Err(failure)) => return self.fail(want, failure, None, observed),
        };
        let incomplete = observed.incomplete.get(&want.target);
        if found.as_ref() == Some(&wanted) && incomplete.is_none() {
            let signatures_owed = observed.owed.contains(&want.target);
            let (want, digest) = (want.clone(), wanted);
            return self.unchanged.push(Unchanged { want, digest, signatures_owed });
        }
        let other = found.as_ref().filter(|found| **found != wanted);
        let hindrance = kept.and_then(|kept| Plan::hindrance(want, kept, other, observed));
        if let Some(reason) = hindrance {
            let (files, target) = (vec![want.file.clone()], want.target.shown());
            let destination = want.target.destination.clone();
            return self.conflicts.push(Conflict { files, destination, target, reason });
        }
        let image = match observed.images.get(&want.source) {
            Some(Err(failure)) => {
                // What has holes is not served.
                let serves = found.filter(|_| incomplete.is_none());
                return self.fail(want, failure.clone(), serves, observed);
            }
            Some(Ok(image)) => Some(image),
            None => None,
        };
        self.actions.push(Action::Copy(Box::new(Copy {
            want: want.clone(),
            digest: wanted.clone(),
            change: change(found, &wanted, incomplete),
            platforms: image.map(|image| image.platforms.clone()).unwrap_or_default(),
            bytes: image.map(|image| {
                image.blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
            }),
            manifests: image.map(|image| image.manifests.len() as u64),
            previous: wants.previous.get(&want.file).cloned(),
            upstream: image.and_then(|image| image.upstream.clone()),
            holder: observed.holder.get(&want.source).cloned(),
        })));
    }

    /// What a stranger is not told may be told to us after the merge.
    fn fail(&mut self, want: &Want, failure: Failure, serves: Option<Digest>, observed: &Observed) {
        let want = want.clone();
        let registry = &want.source.name.registry;
        if failure.side == Side::Source && observed.strangers.contains(registry) {
            let message = failure.message;
            let reason = format!("the registry {registry}, asked without credentials: {message}");
            return self.postponed.push(Postponed { want, reason });
        }
        self.failures.push(LookupFailure { want, failure, serves });
    }
}

/// What is to be done at a target that has `found`, and lacks `missing` of it.
fn change(found: Option<Digest>, wanted: &Digest, missing: Option<&Vec<Digest>>) -> Change {
    match (found, missing) {
        (None, _) => Change::Create,
        (Some(found), Some(missing)) if found == *wanted => {
            Change::Complete { missing: missing.clone() }
        }
        (Some(from), _) => Change::Update { from },
    }
}

/// Images of a repository that their source has no more, by tag and by digest.
fn gone(wants: &Wants, at: &RepositoryAt, observed: &Observed) -> BTreeSet<String> {
    let here = wants.wants.iter().filter(|want| {
        want.target.destination == at.destination && want.target.repository == at.repository
    });
    let gone = here.filter(|want| observed.gone.contains(&want.source));
    let named = gone.flat_map(|want| {
        let tag = want.target.tag.as_ref().map(ToString::to_string);
        tag.into_iter().chain(want.source.version.digest().map(ToString::to_string))
    });
    named.collect()
}

fn conflict(collision: &crate::want::model::Collision) -> Conflict {
    let crate::want::model::Collision { files, destination, target, reason } = collision.clone();
    Conflict { files, destination, target, reason }
}

/// Several destinations share one source; it is noted once.
fn notes(wants: &[Want], observed: &Observed) -> Vec<Note> {
    let mut seen = BTreeSet::new();
    let mut notes = Vec::new();
    for want in wants {
        let Some(upstream) = observed.tags.get(&want.source) else { continue };
        let single = matches!(want.source.platforms, Platforms::One(_));
        if single || want.source.version.digest() == Some(upstream) || !seen.insert(&want.file) {
            continue;
        }
        let source = format!("{}{}", want.source.name, want.source.version);
        notes.push(Note::TagMoved { file: want.file.clone(), source, upstream: upstream.clone() });
    }
    notes
}
