//! What a host does beyond what all registries do, and how that is known: because somebody knows what stands behind its
//! name, or from its responses. Code asks for capabilities, never which cloud it is.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::listener::{HostNews, Listener};

/// Something about a host, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<T> {
    /// What is known of the host.
    pub value: T,
    /// How that is known.
    pub by: KnownBy,
}

/// How something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// Registries mostly are like that.
    Assumption,
    /// This one is known to be like that.
    Preset,
    /// It has shown it.
    Answers,
}

/// Which blobs can be mounted from another repository of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// All that are there.
    Any,
    /// Those that a manifest names which was pushed: <https://github.com/aws/containers-roadmap/issues/2860>.
    OfManifests,
    /// No blob can be mounted.
    Nothing,
}

/// What is known of a host before it was asked. Nothing stands for what has to be learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presets {
    /// Which blobs can be mounted.
    pub mounts: Option<Mounts>,
    /// Whether it looks for a blob that is asked to be mounted from the very repository that it goes to. Registries that do
    /// answer 201 when it is there, which saves a request; the specification says nothing of it.
    pub mounts_from_itself: Option<bool>,
    /// Whether upload sessions can be given back.
    pub ends_sessions: Option<bool>,
    /// Whether the bytes of a blob may come with the PUT that ends its upload.
    pub whole_puts: Option<bool>,
    /// Whether it has a list of referrers, in all repositories.
    pub lists_referrers: Option<bool>,
    /// How many requests of a kind it takes in a second.
    pub rates: RequestRates,
}

/// Requests that a registry takes in a second, where it says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestRates {
    /// Manifests that may be read in a second.
    pub pulls: Option<u32>,
    /// Manifests that may be written in a second.
    pub manifests: Option<u32>,
    /// Uploads that may be opened in a second.
    pub uploads: Option<u32>,
    /// Blobs that may be sent in a second.
    pub blobs: Option<u32>,
}

/// So many questions are asked one by one before it is found out what mounts from the own repository are worth.
const MANY: u32 = 8;
/// So many refusals without a success, and mounts from other repositories are not asked for any more.
const ENOUGH: u32 = 3;

/// So many refusals of a whole PUT without a success, and the bytes go with a PATCH.
const ENOUGH_PUTS: u32 = 2;

/// What is known of one host.
#[derive(Debug)]
pub struct Capabilities {
    presets: Presets,
    listener: Listener<HostNews>,
    learned_mounts: Mutex<Option<Mounts>>,
    /// 0 while it is unknown, 1 for no, 2 for yes.
    from_itself: AtomicU8,
    refused: AtomicU32,
    mounted: AtomicBool,
    /// Whether it has ever opened an upload for a mount that was asked for, or refused one.
    declined: AtomicBool,
    mounts_are_true: OnceCell<bool>,
    tried: AtomicBool,
    asked: AtomicU32,
    /// Whether a whole PUT has worked, how many were refused before, and whether bytes have come with a PATCH.
    whole_put: AtomicBool,
    refused_puts: AtomicU32,
    patched: AtomicBool,
    patch_refused: AtomicBool,
}

impl Capabilities {
    pub(crate) fn new(presets: Presets, listener: Listener<HostNews>) -> Capabilities {
        Capabilities {
            presets,
            listener,
            learned_mounts: Mutex::new(None),
            from_itself: AtomicU8::new(0),
            refused: AtomicU32::new(0),
            mounted: AtomicBool::new(false),
            declined: AtomicBool::new(false),
            mounts_are_true: OnceCell::new(),
            tried: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            whole_put: AtomicBool::new(false),
            refused_puts: AtomicU32::new(0),
            patched: AtomicBool::new(false),
            patch_refused: AtomicBool::new(false),
        }
    }

    /// Which blobs can be mounted.
    pub fn mounts(&self) -> Known<Mounts> {
        match *self.learned_mounts.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(value) => Known { value, by: KnownBy::Answers },
            None => known(self.presets.mounts, Mounts::Any),
        }
    }

    /// Whether it has refused so many mounts from other repositories that they are not worth a request. It may still find
    /// a blob that came to another one when it is asked for a mount from itself.
    pub(crate) fn refuses_mounts(&self) -> bool {
        !self.mounted.load(Ordering::Relaxed) && self.refused.load(Ordering::Relaxed) >= ENOUGH
    }

    /// Somebody else has said which blobs can be mounted, such as a setting of the account.
    pub fn learn_mounts(&self, mounts: Mounts) {
        let known =
            self.learned_mounts.lock().unwrap_or_else(PoisonError::into_inner).replace(mounts);
        if known != Some(mounts) {
            self.learned("mounts", &mounts);
        }
    }

    /// Whether it looks for a blob that is asked to be mounted from the repository that it goes to; nothing, while nobody
    /// knows. One that doesn't opens an upload whatever it has (getnora-io/nora#915), or refuses (pulp-container): it has
    /// to be asked by a request of its own.
    pub fn mounts_from_itself(&self) -> Option<Known<bool>> {
        match self.from_itself.load(Ordering::Relaxed) {
            0 => self.presets.mounts_from_itself.map(preset),
            learned => Some(Known { value: learned == 2, by: KnownBy::Answers }),
        }
    }

    pub(crate) fn learn_mounts_from_itself(&self, looks: bool) {
        let learned = if looks { 2 } else { 1 };
        if self.from_itself.swap(learned, Ordering::Relaxed) != learned {
            self.learned("mounts from itself", &looks);
        }
    }

    fn learned(&self, capability: &'static str, value: &dyn std::fmt::Debug) {
        let value = format!("{value:?}").to_lowercase();
        tracing::debug!(capability, value, "learned of the host");
        self.listener.tell(HostNews::Learned { capability, value });
    }

    /// Whether a blob is there which it says to have mounted: there are registries that say so of each, though not after one
    /// mount was declined. `ask` finds out, once, where that has not been seen.
    pub(crate) async fn mounts_are_true(&self, ask: impl Future<Output = bool>) -> bool {
        self.presets.mounts_from_itself.is_some()
            || self.declined.load(Ordering::Relaxed)
            || *self.mounts_are_true.get_or_init(|| ask).await
    }

    /// A mount that was asked for was not made.
    pub(crate) fn declined_mount(&self) {
        self.declined.store(true, Ordering::Relaxed);
    }

    /// It has said of a blob that nobody has that it was mounted: no mount is asked for any more.
    pub(crate) fn mounts_are_untrue(&self) {
        self.mounted.store(false, Ordering::Relaxed);
        self.refused.store(ENOUGH, Ordering::Relaxed);
        self.learn_mounts_from_itself(false);
    }

    /// An upload was opened, and the blob was not there indeed: this says nothing of what else the registry does.
    pub(crate) fn agreed(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is for the one who asks to find out with a blob that is there for sure. Once is enough.
    pub(crate) fn is_mine_to_try(&self) -> bool {
        self.mounts_from_itself().is_none()
            && self.asked.load(Ordering::Relaxed) >= MANY
            && !self.tried.swap(true, Ordering::Relaxed)
    }

    /// A mount from another repository has worked, or was refused with an error.
    pub(crate) fn mounted(&self, worked: bool) {
        if worked {
            self.mounted.store(true, Ordering::Relaxed);
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the bytes of a blob may come with the PUT that ends its upload. container-registry takes a PATCH and an empty
    /// PUT only: after two refusals, and none that has worked, the bytes go that way.
    pub(crate) fn takes_whole_puts(&self) -> bool {
        self.presets.whole_puts.unwrap_or_else(|| {
            let refused = self.refused_puts.load(Ordering::Relaxed) >= ENOUGH_PUTS;
            let patched = self.patched.load(Ordering::Relaxed);
            let hopeless = self.patch_refused.load(Ordering::Relaxed) && !patched;
            self.whole_put.load(Ordering::Relaxed) || !refused || hopeless
        })
    }

    /// A whole PUT has worked, or was refused; whether it is worth trying once more, this way or the other.
    pub(crate) fn whole_put(&self, worked: bool) -> bool {
        if worked {
            self.whole_put.store(true, Ordering::Relaxed);
            return false;
        }
        self.refused_puts.fetch_add(1, Ordering::Relaxed);
        let known = self.whole_put.load(Ordering::Relaxed) || self.presets.whole_puts.is_some();
        !known && !self.patch_refused.load(Ordering::Relaxed)
    }

    /// Bytes that came with a PATCH are there.
    pub(crate) fn patched(&self) {
        if !self.patched.swap(true, Ordering::Relaxed) {
            self.learned("takes a whole PUT", &false);
        }
    }

    /// Bytes that came with a PATCH were refused; whether a whole PUT is worth trying once more, to hear what that says.
    pub(crate) fn patch_refused(&self) -> bool {
        let patched = self.patched.load(Ordering::Relaxed);
        !patched && !self.patch_refused.swap(true, Ordering::Relaxed)
    }

    /// Whether upload sessions can be given back.
    pub fn ends_sessions(&self) -> Known<bool> {
        known(self.presets.ends_sessions, true)
    }

    /// Whether it has a list of referrers, as far as that holds for all of its repositories.
    pub fn lists_referrers(&self) -> Option<Known<bool>> {
        self.presets.lists_referrers.map(preset)
    }
}

fn known<T>(preset: Option<T>, assumed: T) -> Known<T> {
    match preset {
        Some(value) => Known { value, by: KnownBy::Preset },
        None => Known { value: assumed, by: KnownBy::Assumption },
    }
}

fn preset<T>(value: T) -> Known<T> {
    Known { value, by: KnownBy::Preset }
}

/// What was learned of one repository: others of the same host may differ.
#[derive(Debug, Default)]
pub(crate) struct OfRepository {
    /// That it has no list of referrers.
    pub(crate) lists_no_referrers: AtomicBool,
    /// That it has one.
    pub(crate) has_listed: AtomicBool,
    /// Until the first response nobody knows whether there is a list at all; the others wait for that.
    pub(crate) asking_referrers: tokio::sync::Mutex<()>,
    /// With which status it refuses to say that a tag is missing, if it does.
    pub(crate) refuses_missing: OnceCell<Option<u16>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_counts_more_than_what_was_preset() {
        let assumed = Capabilities::new(Presets::default(), Listener::default());
        assert_eq!(assumed.mounts(), Known { value: Mounts::Any, by: KnownBy::Assumption });
        assert_eq!((assumed.mounts_from_itself(), assumed.lists_referrers()), (None, None));
        let presets = Presets {
            mounts: Some(Mounts::Nothing),
            mounts_from_itself: Some(false),
            ends_sessions: Some(false),
            ..Presets::default()
        };
        let host = Capabilities::new(presets, Listener::default());
        assert_eq!(host.mounts(), Known { value: Mounts::Nothing, by: KnownBy::Preset });
        assert_eq!(host.ends_sessions(), preset(false));
        host.learn_mounts(Mounts::OfManifests);
        host.learn_mounts_from_itself(true);
        assert_eq!(host.mounts(), Known { value: Mounts::OfManifests, by: KnownBy::Answers });
        let learned = Known { value: true, by: KnownBy::Answers };
        assert_eq!(host.mounts_from_itself(), Some(learned));
    }

    #[test]
    fn three_refusals_are_enough_unless_one_has_worked() {
        let host = Capabilities::new(Presets::default(), Listener::default());
        (0..3).for_each(|_| host.mounted(false));
        assert!(host.refuses_mounts() && host.mounts().value == Mounts::Any);
        host.mounted(true);
        assert!(!host.refuses_mounts());
    }

    #[test]
    fn one_asks_for_all() {
        let host = Capabilities::new(Presets::default(), Listener::default());
        (0..8).for_each(|_| host.agreed());
        assert!(host.is_mine_to_try() && !host.is_mine_to_try());
    }
}
