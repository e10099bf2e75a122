//! Repositories: what is to be made of them, and what a reviewer should know of their settings.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::draft::Draft;
use crate::plan::model::{Action, Note, Plan};
use crate::plan::observed::Observed;
use crate::plan::questions::Answers;
use crate::provider::setting::Settings;
use crate::want::model::{Source, Want, Wants};
use crate::want::resource::{RepositoryAction, RepositoryAt, RepositoryState, RepositoryWant};

impl Draft<'_> {
    /// Pinned sources of images that a lifecycle policy would delete.
    pub(crate) fn expiring(&self) -> BTreeSet<&Source> {
        let states = self.wants.repositories.iter().filter_map(|want| {
            Some((want, self.observed.repositories.get(&want.at)?.as_ref().ok()?.as_ref()?))
        });
        let expiring = states.flat_map(|(want, state)| {
            let images = expiring(want, state, self.wants);
            in_repository(self.wants, &want.at).filter(move |wanted| {
                let tag = wanted.target.tag.as_ref().map(ToString::to_string);
                !images.is_empty() && tag.is_none_or(|tag| images.contains(&tag))
            })
        });
        let pinned = expiring.filter(|want| want.source.version.digest().is_some());
        pinned.map(|want| &want.source).collect()
    }
}

impl Plan {
    pub(crate) fn add_repositories(
        &mut self,
        wants: &Wants,
        observed: &Observed,
        answers: &Answers,
    ) {
        for want in &wants.repositories {
            let at = want.at.clone();
            match observed.repositories.get(&at) {
                Some(Ok(None)) if want.create && !self.makes(&at) => {
                    let settings = want.provider().changes(&want.settings, &Settings::new());
                    self.actions.push(Action::CreateRepository(RepositoryAction { at, settings }));
                }
                Some(Ok(Some(state))) => self.compare(want, state, wants, answers),
                // Each want of it says so.
                Some(Ok(None) | Err(_)) | None => {}
            }
        }
        self.notes.extend(unknown(wants, observed));
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
        answers: &Answers,
    ) {
        let (at, provider) = (&want.at, want.provider());
        let changes = provider.changes(&want.settings, &state.settings);
        let (fixed, settings): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| provider.is_fixed(change.setting));
        let fixed =
            fixed.into_iter().map(|change| Note::OtherEncryption { at: at.clone(), change });
        self.notes.extend(fixed);
        let gone = gone(wants, at, answers);
        let (gone, images): (Vec<String>, Vec<String>) =
            expiring(want, state, wants).into_iter().partition(|image| gone.contains(image));
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
}

/// Repositories of a destination that could not be looked at, though something was found in them.
fn unknown(wants: &Wants, observed: &Observed) -> Vec<Note> {
    let mut by_destination: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for want in wants.repositories.iter().filter(|want| !want.settings.is_empty()) {
        let Some(Err(failure)) = observed.repositories.get(&want.at) else { continue };
        let found = |wanted: &Want| observed.targets.get(&wanted.target).is_some_and(Result::is_ok);
        if in_repository(wants, &want.at).any(found) {
            by_destination.entry(&want.at.destination).or_default().push(&failure.message);
        }
    }
    let note = |(destination, failures): (&str, Vec<&str>)| {
        let why = failures.first().copied().unwrap_or_default().to_owned();
        let destination = destination.to_owned();
        Note::SettingsUnknown { destination, repositories: failures.len(), why }
    };
    by_destination.into_iter().map(note).collect()
}

fn in_repository<'a>(wants: &'a Wants, at: &'a RepositoryAt) -> impl Iterator<Item = &'a Want> {
    wants.wants.iter().filter(move |wanted| {
        wanted.target.destination == at.destination && wanted.target.repository == at.repository
    })
}

/// Images that the tree names and a wanted lifecycle policy would delete, by tag or digest.
fn expiring(want: &RepositoryWant, state: &RepositoryState, wants: &Wants) -> Vec<String> {
    let named = in_repository(wants, &want.at);
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
    images.collect()
}

/// Images of a repository that their source has no more, by tag and by digest.
fn gone(wants: &Wants, at: &RepositoryAt, answers: &Answers) -> BTreeSet<String> {
    let gone = in_repository(wants, at).filter(|want| answers.gone.contains(&want.source));
    let named = gone.flat_map(|want| {
        let tag = want.target.tag.as_ref().map(ToString::to_string);
        tag.into_iter().chain(want.source.version.digest().map(ToString::to_string))
    });
    named.collect()
}
