//! What the bots will propose, for people.

use std::collections::BTreeSet;

use mirror_failure::count;
use mirror_plan::report::{ExplainedEntry, Explanation};

/// What `mirror bots --explain` says: a line for each image and bot.
///
/// ```
/// use mirror_plan::report::{ExplainedEntry, Explanation};
///
/// let entry = ExplainedEntry {
///     file: "docker.io/library/redis/Dockerfile".to_owned(),
///     name: "docker.io/library/redis".to_owned(),
///     tag: Some("7.2".to_owned()),
///     bot: "Renovate".to_owned(),
///     proposes: vec!["minor".to_owned(), "major".to_owned()],
///     nothing: None,
///     fixed: None,
///     notes: Vec::new(),
/// };
/// let text = mirror_render::people::render_explanation(&Explanation { format_version: 1, entries: vec![entry] });
/// assert!(text.starts_with("docker.io/library/redis  7.2  Renovate  minor, major\n"));
/// ```
pub fn render_explanation(explanation: &Explanation) -> String {
    let entries = &explanation.entries;
    let width = |of: &dyn Fn(&ExplainedEntry) -> usize| entries.iter().map(of).max().unwrap_or(0);
    let (folders, tags) = (width(&|one| folder(one).len()), width(&|one| tag(one).len()));
    let bots = width(&|one| one.bot.len());
    let mut out = String::new();
    for entry in entries {
        let (folder, tag, bot) = (folder(entry), tag(entry), &entry.bot);
        out += &format!("{folder:folders$}  {tag:tags$}  {bot:bots$}  {}\n", said(entry));
    }
    let files = |of: &mut dyn Iterator<Item = &ExplainedEntry>| {
        of.map(|entry| entry.file.as_str()).collect::<BTreeSet<&str>>().len()
    };
    let all = files(&mut entries.iter());
    let moving = files(&mut entries.iter().filter(|entry| !entry.proposes.is_empty()));
    let images = count(all as u64, "image");
    out += &format!("{images}, {} of them without proposals\n", all - moving);
    out
}

/// The folder says more than the name: variants differ by it.
fn folder(entry: &ExplainedEntry) -> &str {
    entry.file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn tag(entry: &ExplainedEntry) -> &str {
    entry.tag.as_deref().unwrap_or("-")
}

fn said(entry: &ExplainedEntry) -> String {
    let mut said = match (entry.proposes.is_empty(), &entry.nothing) {
        (true, Some(why)) => format!("nothing: {why}"),
        (true, None) => "nothing".to_owned(),
        (false, None) => entry.proposes.join(", "),
        (false, Some(why)) => format!("{} alone: {why}", entry.proposes.join(", ")),
    };
    if let Some(part) = &entry.fixed {
        said += &format!("; keeps `{part}`");
    }
    for note in &entry.notes {
        said += &format!("; {note}");
    }
    said
}
