//! One file for each verb.

pub(crate) mod add;
pub(crate) mod apply;
pub(crate) mod bots;
pub(crate) mod check;
pub(crate) mod comment;
pub(crate) mod completions;
pub(crate) mod iam;
pub(crate) mod init;
pub(crate) mod issue;
pub(crate) mod login;
pub(crate) mod man;
pub(crate) mod outdated;
pub(crate) mod pin;
pub(crate) mod plan;
pub(crate) mod remove;
pub(crate) mod report;
pub(crate) mod update;
pub(crate) mod verify;

use mirror_engine::{Connections, Errand};
use mirror_tree::Entry;

use crate::error::CommandError;
use crate::load::Loaded;
use crate::{environment, progress};

/// Runs what needs the network.
fn in_runtime<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| CommandError::failed("could not start", error.to_string(), None))?;
    let outcome = runtime.block_on(work);
    // A thread may still wait for a name server; nobody waits for that.
    runtime.shutdown_background();
    outcome
}

/// Gets ready for the registries that entries come from, to look and change nothing.
async fn connect(entries: &[Entry], loaded: &Loaded) -> Result<Connections, CommandError> {
    let surroundings = environment::surroundings(&environment::default_spool())?;
    let events = progress::listen_to_pauses();
    let errand = Errand::look(&surroundings, &events);
    Ok(Connections::sources(entries, &loaded.config, &loaded.root, errand).await)
}
