//! The registries of a run, one [`Host`] each, and the image layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mirror_copy::{CopyError, Layout, Place};
use mirror_oci::{Name, Registry};
use mirror_plan::{Alternative, Config, Failure, Side, Wants, printable};
use mirror_registry::{Access, Host, HostOptions, Patience, http_client};

use crate::environment;

/// Requests at once to one host, unless the configuration says otherwise. Enough to hide a round trip of 100 ms
/// behind small blobs, few enough for a small registry.
const CONCURRENCY: usize = 64;

/// Everything a run talks to.
pub(crate) struct Hosts {
    registries: BTreeMap<Registry, Result<Arc<Host>, Failure>>,
    alternatives: BTreeMap<Registry, Vec<Alternative>>,
    layouts: BTreeMap<String, Result<Arc<Layout>, Failure>>,
}

impl Hosts {
    /// Gets ready for all registries that are wanted from or to. `push` is what we are going to do at destinations.
    pub(crate) fn new(
        wants: &Wants,
        config: &Config,
        root: &Path,
        push: Access,
    ) -> Result<Hosts, mirror_registry::Error> {
        let http = http_client()?;
        let credentials = Arc::new(environment::credentials());
        let sources: BTreeSet<&Registry> =
            wants.wants.iter().map(|want| &want.source.name.registry).collect();
        let places: BTreeSet<&mirror_plan::Place> =
            wants.wants.iter().map(|want| &want.target.place).collect();
        let targets = places.iter().filter_map(|place| match place {
            mirror_plan::Place::Registry(registry) => Some(registry),
            mirror_plan::Place::Layout(_) => None,
        });
        let targets: BTreeSet<&Registry> = targets.collect();
        let open = |name: &&Registry| {
            let settings = config.registries.get(*name).cloned().unwrap_or_default();
            let (access, side) = if targets.contains(name) {
                (push, Side::Destination)
            } else {
                (Access::Pull, Side::Source)
            };
            let options = HostOptions {
                endpoint: settings.endpoint,
                token_realm: settings.token_realm,
                concurrency: settings.concurrency.map_or(CONCURRENCY, usize::from),
                access,
                patience: Patience::default(),
            };
            let host = Host::new(http.clone(), credentials.clone(), name, &options);
            let host = host.map(Arc::new).map_err(|error| Failure {
                side,
                message: error.to_string(),
                deferred: false,
                help: error.help(),
            });
            ((*name).clone(), host)
        };
        let origins: Vec<&Registry> = sources.iter().copied().collect();
        let alternatives = origins.iter().filter_map(|name| config.registries.get(*name));
        let alternatives =
            alternatives.flat_map(|settings| &settings.alternatives).map(|other| &other.registry);
        let sources: BTreeSet<&Registry> = origins.iter().copied().chain(alternatives).collect();
        let registries = sources.union(&targets).map(open).collect();
        let alternatives = config.registries.iter();
        let alternatives = alternatives
            .map(|(name, settings)| (name.clone(), settings.alternatives.clone()))
            .collect();
        let layouts = places.iter().filter_map(|place| match place {
            mirror_plan::Place::Layout(folder) => Some(folder),
            mirror_plan::Place::Registry(_) => None,
        });
        let layouts = layouts.map(|folder| {
            (folder.clone(), Layout::open(&root.join(folder)).map(Arc::new).map_err(failure))
        });
        Ok(Hosts { registries, alternatives, layouts: layouts.collect() })
    }

    pub(crate) fn registry(&self, name: &Registry) -> Result<Arc<Host>, Failure> {
        self.registries.get(name).cloned().unwrap_or_else(|| Err(unknown(name.as_str())))
    }

    /// Pulls that are left at registries that limit them.
    pub(crate) fn pulls_left(&self) -> BTreeMap<Registry, u64> {
        let open =
            self.registries.iter().filter_map(|(name, host)| Some((name, host.as_ref().ok()?)));
        open.filter_map(|(name, host)| Some((name.clone(), host.pull_budget()?.left))).collect()
    }

    /// The shortest window of a limit on pulls that is used up.
    pub(crate) fn pull_window(&self) -> Option<Duration> {
        let budgets = self.registries.values().flatten().filter_map(|host| host.pull_budget());
        budgets.map(|budget| budget.window).min()
    }

    /// Where an image comes from.
    pub(crate) fn source(&self, name: &Name) -> Result<mirror_copy::Source, Failure> {
        let origin =
            Place { host: self.registry(&name.registry)?, repository: name.repository.clone() };
        let place = |other: &Alternative| {
            let host = self.registry(&other.registry).ok()?;
            Some(Place { host, repository: other.repository(&name.repository)? })
        };
        let alternatives =
            self.alternatives.get(&name.registry).into_iter().flatten().filter_map(place);
        Ok(mirror_copy::Source { origin, alternatives: alternatives.collect() })
    }

    pub(crate) fn layout(&self, folder: &str) -> Result<Arc<Layout>, Failure> {
        self.layouts.get(folder).cloned().unwrap_or_else(|| Err(unknown(folder)))
    }
}

/// What a failed step of a copy means for plan and report.
pub(crate) fn failure(error: CopyError) -> Failure {
    let side = match error.side() {
        mirror_copy::Side::Source => Side::Source,
        mirror_copy::Side::Destination => Side::Destination,
    };
    Failure {
        side,
        message: printable(&error.to_string()),
        deferred: error.is_pull_limit(),
        help: error.help(),
    }
}

fn unknown(place: &str) -> Failure {
    Failure {
        side: Side::Destination,
        message: format!("{place} was not prepared"),
        deferred: false,
        help: None,
    }
}
