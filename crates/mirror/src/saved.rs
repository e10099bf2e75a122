//! Saved plans: written by `plan --out`, carried out by `apply FILE`. They are packed with gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use mirror_copy::ManifestSpool;
use mirror_engine::Planned;
use mirror_engine::graphs::Graphs;
use mirror_oci::RawManifest;
use mirror_plan::plan::{Plan, PlanRefusal, SavedPlan, write_plan};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::Loaded;
use crate::output::Output;

/// What a file of gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Writes a plan with its manifests; the file is there as a whole, or not at all.
pub(crate) fn write(file: Output, plan: &Plan, graphs: &Graphs, loaded: &Loaded) -> io::Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    let graphs = graphs.values().flatten();
    let all = graphs.flat_map(|graph| graph.digests().map(move |digest| (graph, digest)));
    let distinct = all.filter(|(_, digest)| seen.insert(*digest));
    let manifests = distinct.map(|(graph, digest)| graph.manifest(digest));
    let (tree, config) = &loaded.digests;
    file.write_with(|writer| {
        let mut packed = GzEncoder::new(writer, Compression::fast());
        write_plan(&mut packed, plan, (tree, config), manifests)?;
        packed.finish()?.flush()
    })
}

/// Reads a plan and holds it against the tree; says why it won't do. Its manifests go into the spool.
pub(crate) fn read(path: &Path, loaded: &Loaded, spool: &Path) -> Result<Planned, CommandError> {
    let manifests = Arc::new(ManifestSpool::in_folder(spool));
    let (tree, config) = &loaded.digests;
    let keep = |manifest: RawManifest| manifests.put(&manifest);
    let plan = unpacked(path)
        .and_then(|lines| SavedPlan::read(lines, keep))
        .and_then(|saved| saved.checked(tree, config, &loaded.wants));
    let plan = plan.map_err(|refusal| refused(path, "applied", refusal))?;
    Ok(Planned { plan: Arc::new(plan), manifests })
}

/// Reads a plan to show it; it may come from anybody.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, CommandError> {
    let saved = unpacked(path).and_then(|lines| SavedPlan::read(lines, |_| Ok(())));
    saved.and_then(SavedPlan::shown).map_err(|refusal| refused(path, "shown", refusal))
}

/// The lines of a saved plan.
fn unpacked(path: &Path) -> Result<impl BufRead, PlanRefusal> {
    let broken = |why: String| PlanRefusal::Broken(why);
    let file = File::open(path).map_err(|why| broken(why.to_string()))?;
    let mut file = BufReader::new(file);
    let begin = file.fill_buf().map_err(|why| broken(why.to_string()))?;
    if !begin.starts_with(&GZIP) {
        let why = match begin.first() {
            None => "it is empty",
            // Earlier versions did not pack it.
            Some(b'{') => {
                "it is the output of `plan --format json`, or was made by an older mirror"
            }
            Some(_) => "it is not a saved plan: it is not packed with gzip",
        };
        return Err(broken(why.to_owned()));
    }
    // Of several parts, so that nothing can stand behind the plan.
    Ok(BufReader::new(MultiGzDecoder::new(file)))
}

fn refused(path: &Path, verb: &str, refusal: PlanRefusal) -> CommandError {
    let (why, help, exit) = match refusal {
        PlanRefusal::Broken(why) => {
            (why, "create a new one: `mirror plan --out FILE`", Exit::Usage)
        }
        PlanRefusal::Stale(why) => (why, "look again: `mirror plan --out FILE`", Exit::Stale),
    };
    let what = format!("the plan {} can't be {verb}", path.display());
    CommandError::usage(what, mirror_failure::printable(&why), Some(help)).ending(exit)
}
