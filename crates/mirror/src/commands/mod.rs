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
pub(crate) mod man;
pub(crate) mod outdated;
pub(crate) mod pin;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod verify;

use mirror_engine::{Connections, Errand};
use mirror_tree::Entry;

use crate::exit::Exit;
use crate::load::Loaded;
use crate::{environment, print};

/// Runs what needs the network.
fn in_runtime(work: impl Future<Output = Result<Exit, mirror_failure::RequestError>>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::error("could not start", &error.to_string(), None);
            return Exit::Failed;
        }
    };
    let outcome = runtime.block_on(work);
    // A thread may still wait for a name server; nobody waits for that.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| {
        print::error("could not start", &error.to_string(), error.help().as_deref());
        Exit::Failed
    })
}

/// Gets ready for the registries that entries come from, to look and change nothing.
async fn connect(
    entries: &[Entry],
    loaded: &Loaded,
) -> Result<Connections, mirror_failure::RequestError> {
    let surroundings = environment::surroundings(None)?;
    let errand = Errand::look(&surroundings);
    Ok(Connections::sources(entries, &loaded.config, &loaded.root, errand).await)
}
