//! The registries of a run, one [`Host`] each, and the image layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirror_copy::{Layout, ManifestCache, ManifestRoom, ManifestSpool, Origin, Store};
use mirror_failure::{Failure, RetryPolicy, Side};
use mirror_oci::{Digest, Name, Registry, Repository};
use mirror_plan::config::{Alternative, Config, Location, Referrers, RegistrySettings};
use mirror_plan::want::{Base, Target, Wants};
use mirror_registry::{
    Access, Credentials, Host, HostEvent, HostOptions, HostRole, Listener, Remote, Threads,
    TlsFiles,
};
use mirror_tree::Entry;

use crate::control::{ControlPlane, behind};
use crate::event::Events;
use crate::memory::Memory;
use crate::surroundings::Surroundings;

/// Requests at once to one host, unless the configuration says otherwise. Enough to hide a round trip of 100 ms
/// behind small blobs, few enough for a small registry.
const CONCURRENCY: usize = 64;

/// The folder of manifests in the spool.
const MANIFESTS: &str = "manifests";

/// Everything a run talks to.
pub struct Connections {
    registries: BTreeMap<Registry, Result<Arc<Host>, Failure>>,
    /// Repositories that are written to.
    written: BTreeMap<Registry, BTreeSet<Repository>>,
    alternatives: BTreeMap<Registry, Vec<Alternative>>,
    layouts: BTreeMap<String, Result<Arc<Layout>, Failure>>,
    planes: BTreeMap<Registry, ControlPlane>,
    manifests: Arc<ManifestCache>,
    spooled: Arc<ManifestSpool>,
    pub(crate) room: Arc<ManifestRoom>,
    memory: Memory,
    looks_for_signatures: bool,
    strangers: BTreeSet<Registry>,
}

/// Where images go: repositories by registry or layout.
type Locations<'a> = BTreeMap<&'a Location, BTreeSet<Repository>>;

/// What connections are opened for.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// Whether destinations are written to.
    pub writes: bool,
    /// Machines that live on one limit on pulls, this one included.
    pub share: u32,
    /// Where all of it happens.
    pub surroundings: &'a Surroundings,
    /// What decides on connections instead of the configuration, for a pull request.
    pub base: Option<&'a Base>,
    /// Who is told of pauses, and of what hosts show.
    pub events: &'a Events,
}

impl<'a> Errand<'a> {
    /// To look and change nothing.
    pub fn look(surroundings: &'a Surroundings, events: &'a Events) -> Errand<'a> {
        Errand { writes: false, share: 1, surroundings, base: None, events }
    }
}

impl Connections {
    /// Gets ready for all registries that are wanted from or to.
    pub async fn new(
        wants: &Wants,
        config: &Config,
        root: &Path,
        errand: Errand<'_>,
    ) -> Connections {
        let mut sources: BTreeSet<&Registry> =
            wants.wants.iter().map(|want| &want.source.name.registry).collect();
        let mut locations: Locations<'_> = BTreeMap::new();
        for Target { location, repository, .. } in wants.wants.iter().map(|want| &want.target) {
            locations.entry(location).or_default().insert(repository.clone());
        }
        // Where images may have gone once is only read.
        let written: BTreeSet<&Location> = locations.keys().copied().collect();
        for location in wants.elsewhere.iter().map(|want| &want.target.location) {
            match location {
                // A destination can be read as it is, and is no source for that: it would be waited for like one.
                _ if written.contains(location) => {}
                Location::Registry(registry) => drop(sources.insert(registry)),
                Location::Layout(_) => drop(locations.entry(location).or_default()),
            }
        }
        Connections::of(sources, locations, config, root, errand).await
    }

    /// Gets ready for the registries that entries come from, whether or not anything can be made of them at a
    /// destination.
    pub async fn sources(
        entries: &[Entry],
        config: &Config,
        root: &Path,
        errand: Errand<'_>,
    ) -> Connections {
        let sources = entries.iter().map(|entry| &entry.name.registry).collect();
        Connections::of(sources, BTreeMap::new(), config, root, errand).await
    }

    async fn of(
        sources: BTreeSet<&Registry>,
        locations: Locations<'_>,
        config: &Config,
        root: &Path,
        errand: Errand<'_>,
    ) -> Connections {
        let Errand { writes, share, surroundings, base, events } = errand;
        let spool = &surroundings.spool;
        let settings = base.map_or(&config.registries, |base| &base.registries);
        let targets = locations.iter().filter_map(|(location, repositories)| match location {
            Location::Registry(registry) => Some((registry, repositories)),
            Location::Layout(_) => None,
        });
        let targets: BTreeMap<&Registry, &BTreeSet<Repository>> = targets.collect();
        let alternatives = sources.iter().filter_map(|name| settings.get(*name));
        let alternatives =
            alternatives.flat_map(|settings| &settings.alternatives).map(|other| &other.registry);
        let sources: BTreeSet<&Registry> = sources.iter().copied().chain(alternatives).collect();
        let opener = Opener { surroundings, root, share, listener: events.hosts() };
        let mut registries = BTreeMap::new();
        let mut strangers = BTreeSet::new();
        let mut planes = BTreeMap::new();
        for name in sources.union(&targets.keys().copied().collect()) {
            let settings = settings.get(*name).cloned().unwrap_or_default();
            if base.is_some_and(|base| !base.knows(name)) {
                strangers.insert((*name).clone());
                registries.insert((*name).clone(), opener.as_stranger(name));
                continue;
            }
            let side = if targets.contains_key(name) { Side::Destination } else { Side::Source };
            let role = role(writes && targets.contains_key(name), sources.contains(name));
            let (host, plane) = opener.open(name, settings, role, side).await;
            planes.extend(plane.map(|plane| ((*name).clone(), plane)));
            registries.insert((*name).clone(), host);
        }
        let alternatives = settings.iter();
        let alternatives = alternatives
            .map(|(name, settings)| (name.clone(), settings.alternatives.clone()))
            .collect();
        let manifests = Arc::new(ManifestCache::in_folder(&spool.join(MANIFESTS)));
        let written = targets.iter().filter(|_| writes);
        let written =
            written.map(|(name, repositories)| ((*name).clone(), (*repositories).clone()));
        Connections {
            registries,
            written: written.collect(),
            alternatives,
            layouts: layouts(&locations, root, writes, surroundings.world.threads),
            planes,
            manifests,
            spooled: Arc::new(ManifestSpool::in_folder(spool)),
            room: Arc::default(),
            memory: Memory::in_spool(spool),
            looks_for_signatures: config.referrers != Referrers::Off,
            strangers,
        }
    }

    /// A registry.
    ///
    /// # Errors
    /// Why it can't be talked to.
    pub fn registry(&self, name: &Registry) -> Result<Arc<Host>, Failure> {
        self.registries.get(name).cloned().unwrap_or_else(|| Err(unknown(name.as_str())))
    }

    /// Registries that are asked without credentials, since the base of a pull request does not know them.
    pub fn strangers(&self) -> BTreeSet<Registry> {
        self.strangers.clone()
    }

    /// Where manifests of this run wait for their turn.
    pub(crate) fn manifests(&self) -> &Arc<ManifestSpool> {
        &self.spooled
    }

    /// What earlier runs have left to know.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether the signatures of an image that is there are still to be looked for.
    pub fn owes_signatures(&self, target: &Target, digest: &Digest) -> bool {
        self.looks_for_signatures && self.memory.owes_signatures(target, digest)
    }

    /// A repository of a registry.
    ///
    /// # Errors
    /// Why the registry can't be talked to.
    pub fn remote(&self, registry: &Registry, repository: &Repository) -> Result<Remote, Failure> {
        let written = self.written.get(registry);
        let access = match written.is_some_and(|written| written.contains(repository)) {
            true => Access::PullPush,
            false => Access::Pull,
        };
        Ok(Remote::new(self.registry(registry)?, repository.clone(), access))
    }

    /// A store to read from, without what stands in for it.
    pub(crate) fn origin_in(&self, store: Store) -> Origin {
        let (cache, room) = (self.manifests.clone(), self.room.clone());
        Origin { store, first: Vec::new(), cache, room }
    }

    /// Who answers for a registry beside the protocol.
    pub(crate) fn control_plane(&self, name: &Registry) -> Option<&ControlPlane> {
        self.planes.get(name)
    }

    /// Pulls that registries that limit them had left for this run; what it has used itself is not missing.
    pub fn pulls_left(&self) -> BTreeMap<Registry, u64> {
        let open =
            self.registries.iter().filter_map(|(name, host)| Some((name, host.as_ref().ok()?)));
        let had = |host: &Host| host.pull_budget().map(|budget| budget.left + budget.made);
        open.filter_map(|(name, host)| Some((name.clone(), had(host)?))).collect()
    }

    /// Sources that were asked with credentials, and what stands in for them.
    pub fn authenticated_sources(&self, wants: &Wants) -> Vec<Registry> {
        let sources: BTreeSet<&Registry> =
            wants.wants.iter().map(|want| &want.source.name.registry).collect();
        let asked = |name: &&Registry| self.alternatives.get(*name).into_iter().flatten();
        let others = sources.iter().flat_map(asked).map(|other| &other.registry);
        let all: BTreeSet<&Registry> = sources.iter().copied().chain(others).collect();
        let known =
            |name: &&Registry| self.registry(name).is_ok_and(|host| host.has_used_credentials());
        all.into_iter().filter(known).cloned().collect()
    }

    /// The shortest window of a limit on pulls that is used up.
    pub fn pull_window(&self) -> Option<Duration> {
        let budgets = self.registries.values().flatten().filter_map(|host| host.pull_budget());
        budgets.filter_map(|budget| budget.window).min()
    }

    /// Time has passed: what registries have told of limits on pulls is asked again.
    pub fn forget_pulls(&self) {
        self.registries.values().flatten().for_each(|host| host.forget_pulls());
    }

    /// Asks connections that were given up whether they serve again, after the pause that they want, if that ends in `longest`;
    /// gives those that do.
    pub async fn serving_again(&self, longest: Duration) -> Vec<Registry> {
        let soon = tokio::time::Instant::now() + longest;
        let given_up = self.registries.values().flatten().filter_map(|host| {
            let at = host.probe_at().filter(|at| *at <= soon)?;
            Some(async move {
                tokio::time::sleep_until(at).await;
                host.serves_again().await.then(|| host.name().clone())
            })
        });
        futures_util::future::join_all(given_up).await.into_iter().flatten().collect()
    }

    /// Gives back the upload sessions that were left open.
    pub async fn end_sessions(&self) {
        let ends = self.registries.values().flatten().map(|host| host.end_sessions());
        futures_util::future::join_all(ends).await;
    }

    /// Where an image comes from.
    ///
    /// # Errors
    /// Why its registry can't be talked to.
    pub fn origin(&self, name: &Name) -> Result<Origin, Failure> {
        let own = self.remote(&name.registry, &name.repository)?;
        let first = self.alternatives.get(&name.registry).into_iter().flatten();
        let first = first.filter_map(|other| {
            let repository = other.repository(&name.repository)?;
            self.remote(&other.registry, &repository).ok().map(Store::Remote)
        });
        Ok(Origin { first: first.collect(), ..self.origin_in(Store::Remote(own)) })
    }

    /// An image layout.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn layout(&self, folder: &str) -> Result<Arc<Layout>, Failure> {
        self.layouts.get(folder).cloned().unwrap_or_else(|| Err(unknown(folder)))
    }
}

/// What is done at a registry.
fn role(is_written: bool, is_source: bool) -> HostRole {
    match (is_written, is_source) {
        (true, true) => HostRole::Both,
        (true, false) => HostRole::Destination,
        (false, _) => HostRole::Source,
    }
}

/// All layouts that images go to.
fn layouts(
    locations: &Locations<'_>,
    root: &Path,
    writes: bool,
    threads: Threads,
) -> BTreeMap<String, Result<Arc<Layout>, Failure>> {
    let folders = locations.keys().filter_map(|location| match location {
        Location::Layout(folder) => Some(folder),
        Location::Registry(_) => None,
    });
    let open = |folder: &String| {
        let layout = Layout::open(&root.join(folder), threads).map(Arc::new).map_err(Failure::from);
        layout.iter().filter(|_| writes).for_each(|layout| layout.remove_leftovers());
        (folder.clone(), layout)
    };
    folders.map(open).collect()
}

/// What all registries are opened with.
struct Opener<'a> {
    surroundings: &'a Surroundings,
    /// The folder that relative paths start at.
    root: &'a Path,
    share: u32,
    listener: Listener<HostEvent>,
}

impl Opener<'_> {
    /// A registry that gets no credentials of any kind.
    fn as_stranger(&self, name: &Registry) -> Result<Arc<Host>, Failure> {
        let nobody = Arc::new(Credentials::default());
        let listener = self.listener.clone();
        let options = HostOptions { concurrency: CONCURRENCY, listener, ..HostOptions::default() };
        let host = Host::new(&self.surroundings.world, nobody, name, &options);
        host.map(Arc::new).map_err(|error| Failure::new(Side::Source, "", &error.into()))
    }

    async fn open(
        &self,
        name: &Registry,
        settings: RegistrySettings,
        role: HostRole,
        side: Side,
    ) -> (Result<Arc<Host>, Failure>, Option<ControlPlane>) {
        let mut behind = behind(name, settings.role.as_deref(), self.surroundings).await;
        let file = |path: PathBuf| self.root.join(path);
        let tls = TlsFiles {
            authorities: settings.ca.map(file).into_iter().collect(),
            client: settings.client_certificate.map(|(own, key)| (file(own), key.map(file))),
        };
        let options = HostOptions {
            endpoint: settings.endpoint,
            token_realm: settings.token_realm,
            concurrency: settings.concurrency.map_or(CONCURRENCY, usize::from),
            role,
            retry_policy: RetryPolicy::default(),
            presets: behind.presets,
            login: behind.login.take(),
            share: self.share,
            private_redirects: settings.private_redirects,
            tls,
            listener: self.listener.clone(),
        };
        let Surroundings { world, credentials, .. } = self.surroundings;
        let host = Host::new(world, credentials.clone(), name, &options);
        let host = host.map(Arc::new).map_err(|error| Failure::new(side, "", &error.into()));
        let plane = host.as_ref().ok().and_then(|host| behind.control_plane(host));
        (host, plane)
    }
}

fn unknown(location: &str) -> Failure {
    Failure::other(Side::Destination, format!("{location} was not prepared"))
}
