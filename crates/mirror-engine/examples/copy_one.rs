//! Plans and copies one image into an OCI image layout:
//!
//! ```text
//! cargo run -p mirror-engine --example copy_one -- docker.io/library/hello-world:latest ./store
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::path::Path;
use std::sync::Arc;

use mirror_engine::passes::{self, Desired, How, OnLimit};
use mirror_engine::{Event, Events, Stop, Surroundings};
use mirror_oci::Reference;
use mirror_plan::config::Config;
use mirror_plan::report::Report;
use mirror_plan::want::expand;
use mirror_registry::{Credentials, Network};
use mirror_tree::Entry;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Copies one image into the layout `store` below `root`, and gives what happened with the report.
pub async fn copy(reference: &str, root: &Path) -> Result<(Vec<Event>, Report), Failed> {
    let reference: Reference = reference.parse()?;
    let version = reference.version().ok_or("name a tag or a digest")?;
    let (file, name) = ("Dockerfile".to_owned(), reference.name);
    let entry = Entry { file, name, version, platform: None, span: 0..0, source: "".into() };
    let config = Config::parse("[[destination]]\nname = \"store\"\nlayout = \"./store\"\n")
        .map_err(|problems| format!("{problems:?}"))?;
    let wants = expand(&[entry], &config);
    let how = How {
        surroundings: Surroundings::real(
            Network::default(),
            Arc::new(Credentials::default()),
            &root.join("spool"),
        ),
        shard: None,
        on_limit: OnLimit::Defer,
        refresh_referrers: false,
        repair: false,
    };
    let tree = Desired { config: &config, root, wants: &wants, whole: &wants };
    let ((_stopper, stop), (events, mut told)) = (Stop::new(), Events::new(None));
    let report = passes::run(tree, &how, None, &stop, &events).await;
    events.close();
    let mut happened = Vec::new();
    while let Some(event) = told.recv().await {
        happened.push(event);
    }
    Ok((happened, report))
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let (Some(reference), Some(root)) = (arguments.next(), arguments.next()) else {
        return Err("usage: copy_one REFERENCE FOLDER".into());
    };
    let (events, report) = copy(&reference, Path::new(&root)).await?;
    println!("{} events; {}", events.len(), serde_json::to_string_pretty(&report)?);
    Ok(())
}
