//! Decides without I/O: configuration, wants, plan, report.
//!
//! The tree and the configuration become wants ([`want::expand`]); wants and what was observed become a [`plan::Plan`];
//! what became of its actions is a [`report::Report`]. Each is a value that can be printed as JSON, and text is
//! rendered from that same value elsewhere.
//!
//! ```
//! use std::io::BufReader;
//!
//! use mirror_oci::{Algorithm, Digest};
//! use mirror_plan::config::Config;
//! use mirror_plan::plan::{Answers, Depth, Draft, Observed, ReviewNotes, SavedPlan};
//! use mirror_plan::plan::{tree_digest, write_plan};
//! use mirror_plan::report::{Ending, Outcome, Report, Status};
//! use mirror_plan::want::expand;
//! use mirror_tree::{Entry, Rules, parse};
//!
//! let config = Config::parse("[[destination]]\nname = \"prod\"\nregistry = \"registry.example.com\"")
//!     .map_err(|problems| format!("{problems:?}"))?;
//! # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
//! # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
//! # let entry = Entry {
//! #     file: file.to_owned(), name: from.name, version: from.version,
//! #     platform: None, span: from.span, source: text.into(),
//! # };
//! let entries = [entry];
//! let wants = expand(&entries, &config);
//! let want = &wants.wants[0];
//!
//! // The source has the tag, the destination does not.
//! let digest = Digest::of(Algorithm::Sha256, b"a manifest");
//! let mut observed = Observed::default();
//! observed.sources.insert(want.source.clone(), Ok(digest.clone()));
//! observed.targets.insert(want.target.clone(), Ok(mirror_plan::plan::Presence::Absent));
//! let draft = Draft::new(&wants, observed);
//! let questions = draft.questions(Depth::Manifests, ReviewNotes::Skip);
//! assert_eq!(questions.manifests[&want.source], &digest);
//! let plan = draft.settle(&Answers::default());
//! assert_eq!(plan.ending(), Ending::Pending);
//!
//! // Written now, and read, checked and carried out later.
//! let (tree, settings) = (tree_digest(&entries), Digest::of(Algorithm::Sha256, b"mirror.toml"));
//! let mut file = Vec::new();
//! write_plan(&mut file, &plan, (&tree, &settings), std::iter::empty())?;
//! let saved = SavedPlan::read(BufReader::new(&file[..]), |_manifest| Ok(())).unwrap();
//! assert_eq!(saved.clone().shown().unwrap(), plan);
//! let plan = saved.checked(&tree, &settings, &wants).unwrap();
//! let copy = plan.copies().next().ok_or("one copy")?;
//! let outcome = Outcome::of(&copy.want, &copy.digest, Status::Done);
//! assert_eq!(Report::new(&plan, Vec::new(), vec![outcome]).ending(), Ending::Done);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bots;
pub mod config;
pub mod plan;
pub mod provider;
pub mod report;
pub mod want;

use schemars::transform::RecursiveTransform;

/// JSON schemas of everything that is read or written, by file name.
///
/// ```
/// let schemas = mirror_plan::schemas();
/// assert!(schemas.iter().any(|(file, _)| *file == "plan.schema.json"));
/// ```
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("config.schema.json", schema::<config::file::ConfigFile>()),
        ("diagnostics.schema.json", schema::<report::Diagnostics>()),
        ("explanation.schema.json", schema::<report::Explanation>()),
        ("login.schema.json", schema::<report::LoginExplanation>()),
        ("outdated.schema.json", schema::<report::Outdated>()),
        ("plan.schema.json", schema::<plan::Plan>()),
        ("progress.schema.json", schema::<report::ProgressLine>()),
        ("report.schema.json", schema::<report::Report>()),
        ("saved-plan.schema.json", schema::<plan::SavedLine>()),
        ("verification.schema.json", schema::<report::Verification>()),
    ]
}

/// The schema of a type, with what its docs say up to the first example: that is Rust, and of no use here.
fn schema<T: schemars::JsonSchema>() -> schemars::Schema {
    let without_examples = |schema: &mut schemars::Schema| {
        if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
            *text = text.split("```").next().unwrap_or_default().trim_end().to_owned();
        }
    };
    let settings = schemars::generate::SchemaSettings::default();
    let settings = settings.with_transform(RecursiveTransform(without_examples));
    settings.into_generator().into_root_schema_for::<T>()
}
