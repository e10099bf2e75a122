//! What a plan adds up to.

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{Digest, Name, Registry};

use crate::plan::model::{Change, Plan, Pulls, Totals};
use crate::plan::observed::Image;
use crate::plan::questions::Answers;
use crate::want::model::Source;

impl Plan {
    /// Whether the totals are those of the lists, and everything is in one of them once. A plan from elsewhere may say
    /// anything.
    pub fn adds_up(&self) -> bool {
        let copies = self.copies().map(|copy| &copy.want);
        let unchanged = self.unchanged.iter().map(|item| &item.want);
        let failures = self.failures.iter().map(|failed| &failed.want);
        let mut wants = BTreeSet::new();
        let postponed = self.postponed.iter().map(|item| &item.want);
        let mut all = copies.chain(unchanged).chain(failures).chain(postponed);
        let once = all.all(|want| wants.insert((&want.target, &want.source)));
        let mut registries = BTreeSet::new();
        let pulls = self.pulls.iter().all(|pulls| registries.insert(&pulls.registry));
        once && pulls && self.totals == self.tally(self.totals.bytes)
    }

    /// What the lists add up to.
    pub(crate) fn tally(&self, bytes: Option<u64>) -> Totals {
        let count =
            |which: fn(&Change) -> bool| self.copies().filter(|copy| which(&copy.change)).count();
        let update =
            count(|change| matches!(change, Change::Update { .. } | Change::Replace { .. }));
        let complete = count(|change| matches!(change, Change::Complete { .. }));
        let deferred = self.failures.iter().filter(|failed| failed.failure.is_deferred()).count();
        Totals {
            create_repositories: self.repositories().filter(|(create, _)| *create).count(),
            update_repositories: self.repositories().filter(|(create, _)| !create).count(),
            create: self.copies().count() - update - complete,
            update,
            complete,
            unchanged: self.unchanged.len(),
            unwanted: self.unwanted.len(),
            postponed: self.postponed.len(),
            conflicts: self.conflicts.len(),
            failures: self.failures.len() - deferred,
            deferred,
            bytes,
        }
    }

    /// The distinct sources of the copies, with what is known of their images.
    fn images<'a>(&'a self, answers: &'a Answers) -> BTreeMap<&'a Source, Option<&'a Image>> {
        let sources = self.copies().map(|copy| &copy.want.source);
        sources
            .map(|source| {
                (source, answers.images.get(source).and_then(|image| image.as_ref().ok()))
            })
            .collect()
    }

    pub(crate) fn count_pulls(&self, answers: &Answers) -> Vec<Pulls> {
        let mut manifests: BTreeMap<&Registry, BTreeSet<(&Name, &Digest)>> = BTreeMap::new();
        let roots: BTreeMap<&Source, &Digest> =
            self.copies().map(|copy| (&copy.want.source, &copy.digest)).collect();
        let asked = |(source, _): &(&Source, Option<&Image>)| !answers.holder.contains_key(source);
        for (source, image) in self.images(answers).into_iter().filter(asked) {
            let pulled = manifests.entry(&source.name.registry).or_default();
            match (image, roots.get(source)) {
                (Some(image), _) => {
                    pulled.extend(image.manifests.iter().map(|digest| (&source.name, digest)))
                }
                (None, Some(digest)) => pulled.extend([(&source.name, *digest)]),
                (None, _) => {}
            }
        }
        let pulls = manifests.into_iter();
        pulls
            .map(|(registry, set)| Pulls {
                registry: registry.clone(),
                manifests: set.len() as u64,
                left: answers.pulls_left.get(registry).copied(),
            })
            .collect()
    }

    pub(crate) fn count(&self, answers: &Answers) -> Totals {
        let images: Option<Vec<&Image>> = self.images(answers).into_values().collect();
        let distinct = |images: Vec<&Image>| {
            let blobs: BTreeMap<&Digest, u64> = images
                .iter()
                .flat_map(|image| &image.blobs)
                .map(|(digest, size)| (digest, *size))
                .collect();
            blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
        };
        self.tally(images.map(distinct))
    }
}
