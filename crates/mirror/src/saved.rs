//! Saved plans: written by `plan --out`, carried out by `apply FILE`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mirror_engine::graphs::Graphs;
use mirror_plan::plan::{Plan, PlanRefusal, Planned, SavedPlan};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::Loaded;
use crate::output::{JsonLayout, Output};

/// A plan for ten thousand images has a few dozen MiB.
const LARGEST: u64 = 128 << 20;

/// Writes a plan with its manifests; the file is there as a whole, or not at all.
pub(crate) fn write(file: Output, plan: &Plan, graphs: &Graphs, loaded: &Loaded) -> io::Result<()> {
    let manifests = graphs.values().flatten().flat_map(|graph| graph.manifests());
    let (tree, config) = loaded.digests.clone();
    let saved = SavedPlan::new(plan.clone(), tree, config, manifests);
    file.write(&saved, JsonLayout::Compact)
}

/// Reads a plan and holds it against the tree; says why it won't do.
pub(crate) fn read(path: &Path, loaded: &Loaded) -> Result<Planned, CommandError> {
    let (tree, config) = &loaded.digests;
    let bytes = bytes(path, APPLIED)?;
    let saved =
        SavedPlan::read(&bytes).and_then(|saved| saved.checked(tree, config, &loaded.wants));
    saved.map_err(|refusal| refused(path, APPLIED, refusal))
}

/// Reads a plan to show it; it may come from anybody.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, CommandError> {
    let bytes = bytes(path, SHOWN)?;
    let saved = SavedPlan::read(&bytes).and_then(|saved| saved.intact().map(|()| saved.plan));
    saved.map_err(|refusal| refused(path, SHOWN, refusal))
}

/// What a plan is read for.
const APPLIED: &str = "applied";
const SHOWN: &str = "shown";

fn bytes(path: &Path, verb: &str) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    let why = match read {
        Err(error) => error.to_string(),
        Ok(_) if bytes.len() as u64 > LARGEST => {
            format!("it is larger than {} MiB", LARGEST >> 20)
        }
        Ok(_) => return Ok(bytes),
    };
    Err(refused(path, verb, PlanRefusal::Broken(why)))
}

fn refused(path: &Path, verb: &str, refusal: PlanRefusal) -> CommandError {
    let (why, help, exit) = match refusal {
        PlanRefusal::Broken(why) => (why, "make it anew: `mirror plan --out FILE`", Exit::Usage),
        PlanRefusal::Stale(why) => (why, "look again: `mirror plan --out FILE`", Exit::Stale),
    };
    let what = format!("the plan {} can't be {verb}", path.display());
    CommandError::usage(what, mirror_failure::printable(&why), Some(help)).ending(exit)
}
