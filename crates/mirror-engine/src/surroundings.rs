//! What a run stands in: hosts, AWS, who we are there, the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirror_ecr::Aws;
use mirror_registry::{Credentials, Network, World};

/// What a run stands in. The command line makes it of the environment, tests of whatever they like.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where requests go, what time it is, where chance comes from.
    pub world: World,
    /// Where AWS is asked from.
    pub aws: Aws,
    /// Who we are at registries.
    pub credentials: Arc<Credentials>,
    /// Where what is on its way is kept, and manifests that have cost a pull.
    pub spool: PathBuf,
}

impl Surroundings {
    /// The real ones. AWS is known by its own settings in the environment, which are read when a registry of it is used.
    pub fn real(network: Network, credentials: Arc<Credentials>, spool: &Path) -> Surroundings {
        let world = World::in_network(network);
        let aws = Aws::from_environment(world.wire.clone());
        Surroundings { world, aws, credentials, spool: spool.to_owned() }
    }
}
