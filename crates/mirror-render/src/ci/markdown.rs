//! Plans and reports as Markdown, to be read in a pull request or a job's summary.
//!
//! A comment on GitHub takes 65,536 characters. Rows are added as long as they fit, and a last line says how many did
//! not: the limit is kept by construction, not by cutting text that may be in the middle of a table.

use std::fmt::Write as _;

use mirror_failure::{Failure, count, is_deceptive};
use mirror_oci::{ByteSize, Digest, Name, Tag};
use mirror_plan::plan::{Change, Copy, Holder, LookupFailure, Note, Plan, source_link};

use crate::ci::pages::registry_page;
use crate::people::failure::{Explained, SECURITY, explained};
use crate::people::text::{POSTPONED, or_none, postponed, repositories_noun, version};

/// What a comment may have; some of GitHub's limit is left for whatever is put around it.
pub const COMMENT_BUDGET: usize = 60_000;

/// The plan: headline and totals, then what is wrong, then a table for each destination, then what is unchanged.
///
/// ```
/// use mirror_plan::plan::Plan;
/// use mirror_render::ci::{COMMENT_BUDGET, plan_markdown};
///
/// let mut plan = Plan::default();
/// plan.totals.create = 2;
/// let page = plan_markdown(&plan, COMMENT_BUDGET);
/// assert!(page.starts_with("### mirror: 2 to create\n"), "{page}");
/// ```
pub fn plan_markdown(plan: &Plan, budget: usize) -> String {
    let mut page = Page::new(budget);
    // Before anything else: what no update should be.
    let (back, others): (Vec<_>, Vec<_>) =
        plan.alerts.iter().partition(|alert| alert.is_step_back());
    for alert in &back {
        page.row(&format!("- 🚨 **Step back**: {}\n", alert.told(code)));
    }
    page.always(&format!(
        "{}### mirror: {}\n\n",
        if back.is_empty() { "" } else { "\n" },
        headline(plan)
    ));
    for alert in &others {
        page.row(&format!("- 🚨 {}\n", alert.told(code)));
    }
    if !others.is_empty() {
        page.row("\n");
    }
    page.configuration(plan);
    if plan.copies().next().is_some() {
        page.always(&format!("{}.\n\n", to_move(plan)));
    }
    page.wrong(plan);
    page.postponed(plan);
    for note in &plan.notes {
        page.row(&format!("- {}\n", note_line(note)));
    }
    for destination in destinations(plan) {
        page.destination(plan, &destination);
    }
    let owed: Vec<String> = plan
        .owed()
        .map(|item| {
            let target = code(&item.want.target.shown());
            format!("- {target} at {}\n", code(&item.want.target.destination))
        })
        .collect();
    if !owed.is_empty() {
        let summary =
            format!("Signatures of {} looked for again", count(owed.len() as u64, "image"));
        page.folded(&summary, owed.into_iter());
    }
    page.repositories(plan);
    page.references(plan);
    if !plan.unchanged.is_empty() {
        let summary = format!("{} unchanged", count(plan.unchanged.len() as u64, "image"));
        let rows = plan.unchanged.iter().map(|item| {
            let target = code(&item.want.target.shown());
            format!(
                "- {target} at {} ({})\n",
                code(&item.want.target.destination),
                short(&item.digest)
            )
        });
        page.folded(&summary, rows);
    }
    page.finish()
}

/// The totals in one line, for a commit status as well.
///
/// ```
/// use mirror_plan::plan::Plan;
/// use mirror_render::ci::headline;
///
/// let mut plan = Plan::default();
/// plan.totals.create = 2;
/// plan.totals.failures = 1;
/// assert_eq!(headline(&plan), "2 to create, 1 not looked up");
/// ```
pub fn headline(plan: &Plan) -> String {
    let totals = &plan.totals;
    let mut parts = Vec::new();
    for (number, word) in
        [(totals.create_repositories, "new"), (totals.update_repositories, "changed")]
    {
        if number > 0 {
            parts.push(format!("{number} {word} {}", repositories_noun(number)));
        }
    }
    let copies = [
        (totals.create, "to create"),
        (totals.update, "to update"),
        (totals.complete, "to complete"),
    ];
    for (number, word) in copies {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    let rest = [
        (totals.unwanted, "no longer wanted"),
        (totals.postponed, "checked after the merge"),
        (totals.conflicts, "in conflict"),
        (totals.failures, "not looked up"),
        (totals.deferred, "deferred"),
    ];
    parts.extend(rest.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    parts.join(", ")
}

/// Registries that are named with their pulls.
const NAMED_PULLS: usize = 5;

fn to_move(plan: &Plan) -> String {
    let pulls = plan.pulls.iter().take(NAMED_PULLS).map(|pulls| {
        let left = pulls.left.map(|left| format!(", of {left} that are left")).unwrap_or_default();
        let registry = code(pulls.registry.as_str());
        format!("{} from {registry}{left}", count(pulls.manifests, "pull"))
    });
    let rest = plan.pulls.len().saturating_sub(NAMED_PULLS) as u64;
    let rest = (rest > 0).then(|| format!("more from {rest} others"));
    let size = plan.totals.bytes.map(|size| format!("At most {} to move", ByteSize(size)));
    size.into_iter().chain(pulls).chain(rest).collect::<Vec<_>>().join("; ")
}

fn destinations(plan: &Plan) -> Vec<String> {
    let copies = plan.copies().map(|copy| copy.want.target.destination.clone());
    let repositories = plan.repositories().map(|(_, action)| action.at.destination.clone());
    let unwanted = plan.unwanted.iter().map(|item| item.destination.clone());
    let mut names: Vec<String> = copies.chain(repositories).chain(unwanted).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A look-up that failed.
pub(crate) fn look_up_failed(failed: &LookupFailure) -> String {
    let (target, destination) = (failed.want.target.shown(), &failed.want.target.destination);
    problem(&target, destination, &failed.failure, failed.serves.as_ref())
}

pub(crate) fn problem(
    target: &str,
    destination: &str,
    failure: &Failure,
    serves: Option<&Digest>,
) -> String {
    let serves = serves
        .map(|digest| format!("not refreshed, the destination serves {}; ", code(digest.as_str())));
    let serves = serves.unwrap_or_default();
    let Explained { security, help, .. } = explained(failure);
    let security = security.map(|security| format!("**{security}**; ")).unwrap_or_default();
    let help = help.map(|help| format!(" – {}", code(&help))).unwrap_or_default();
    let message = code(&failure.message);
    let (target, destination) = (code(target), code(destination));
    format!("- ❌ {target} at {destination}: {security}{serves}{}: {message}{help}\n", failure.side)
}

fn note_line(note: &Note) -> String {
    match note {
        Note::TagMoved { source, upstream, .. } => {
            format!(
                "ℹ️ upstream moved the tag of {} to {}; the digest in the tree is copied",
                code(source),
                short(upstream)
            )
        }
        Note::AskedAsStranger { registry } => {
            format!("ℹ️ {POSTPONED}: {} was asked without credentials", code(registry.as_str()))
        }
        Note::SettingsUnknown { destination, repositories, why } => {
            let of = if *repositories == 1 { "repository" } else { "repositories" };
            format!(
                "⚠️ the settings of {repositories} {of} at {} are unknown: {}",
                code(destination),
                code(why)
            )
        }
        Note::WouldExpire { at, gone, images } => {
            let gone = gone.iter().map(|image| format!("{image} (gone upstream)"));
            let images: Vec<String> = gone.chain(images.iter().cloned()).collect();
            format!(
                "⚠️ the lifecycle policy of {} would delete images that the tree names: {}",
                code(at.repository.as_str()),
                code(&images.join(", "))
            )
        }
        Note::NoPreview { at, why } => format!(
            "⚠️ what the new lifecycle policy of {} would delete is unknown: {}",
            code(at.repository.as_str()),
            code(why)
        ),
        Note::OtherEncryption { at, change } => format!(
            "⚠️ {} is not encrypted with {}, which can't be changed",
            code(at.repository.as_str()),
            code(&change.to.to_string())
        ),
    }
}

/// Twelve digits; nearly all are of SHA-256, and a table has little room.
pub(crate) fn short(digest: &Digest) -> String {
    let text = digest.short();
    code(text.strip_prefix("sha256:").unwrap_or(text))
}

/// What the file said before, and what it says now.
fn tags(copy: &Copy) -> String {
    let now = match &copy.want.target.tag {
        Some(tag) => code(tag.as_str()),
        None => "none".to_owned(),
    };
    let before = copy.previous.as_deref().map(version);
    match before.filter(|before| Some(*before) != copy.want.target.tag.as_ref().map(Tag::as_str)) {
        Some(before) => format!("{} → {now}", code(before)),
        None => now,
    }
}

fn digests(copy: &Copy) -> String {
    let pinned = copy.previous.as_deref().and_then(|previous| previous.split_once('@'));
    let pinned = pinned.and_then(|(_, digest)| digest.parse::<Digest>().ok());
    let before = match &copy.change {
        Change::Update { from } => short(from),
        Change::Create => pinned.map_or_else(|| "new".to_owned(), |digest| short(&digest)),
        Change::Replace { reason } => {
            return format!("unreadable ({}) → {}", code(reason), short(&copy.digest));
        }
        Change::Complete { missing } => {
            let parts = count(missing.len() as u64, "part");
            return format!("{}, {parts} missing", short(&copy.digest));
        }
    };
    format!("{before} → {}", short(&copy.digest))
}

/// Where to read about it. What the image says of itself is checked again: the plan may be anybody's.
fn upstream(copy: &Copy) -> String {
    let source = copy.upstream.as_deref().and_then(source_link);
    let link = source.map(|link| format!("[source]({link})")).or_else(|| page(copy));
    let name = copy.want.source.tagged();
    let elsewhere = (name != copy.want.target.shown()).then(|| code(&name));
    let holder = copy.holder.as_ref().map(self::holder);
    elsewhere.into_iter().chain(link).chain(holder).collect::<Vec<_>>().join(" ")
}

/// Why an image is not taken from its source.
pub(crate) fn holder(holder: &Holder) -> String {
    let security =
        if holder.failure.is_security() { format!("**{SECURITY}**; ") } else { String::new() };
    let (reason, destination) = (holder.reason(), code(&holder.destination));
    format!(
        "⚠️ {security}{reason}, you hold it at {destination} ({})",
        code(&holder.failure.message)
    )
}

fn page(copy: &Copy) -> Option<String> {
    let Name { registry, repository } = &copy.want.source.name;
    let page = registry_page(registry, repository);
    page.map(|page| format!("[page]({page})"))
}

/// Longest text from outside that is shown. One that has no end would push out what others have to say.
const LONGEST: usize = 500;

/// Text from outside in a code span, the only place where nothing has a meaning: GitHub finds mentions, issues, commits
/// and links in any other text, whatever is escaped.
pub(crate) fn code(raw: &str) -> String {
    let clean = |c: char| match c {
        '`' => '\'',
        '|' => '¦',
        c if c.is_control() => ' ',
        c if is_deceptive(c) => '\u{fffd}',
        c => c,
    };
    let mut shown: String = raw.trim().chars().take(LONGEST).map(clean).collect();
    if raw.trim().chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    if shown.is_empty() { "–".to_owned() } else { format!("`{shown}`") }
}

/// Text that grows as far as it may.
pub(crate) struct Page {
    text: String,
    left: usize,
    omitted: usize,
}

/// Room for the last line and for tags that have to be closed.
const RESERVED: usize = 200;

impl Page {
    pub(crate) fn new(budget: usize) -> Page {
        Page { text: String::new(), left: budget.saturating_sub(RESERVED), omitted: 0 }
    }

    /// Short text without which the rest makes no sense.
    pub(crate) fn always(&mut self, text: &str) {
        self.left = self.left.saturating_sub(text.chars().count());
        self.text.push_str(text);
    }

    pub(crate) fn row(&mut self, text: &str) {
        let length = text.chars().count();
        if length > self.left || self.omitted > 0 {
            self.omitted += 1;
            return;
        }
        self.always(text);
    }

    /// First of all, since it decides what everything else means.
    fn configuration(&mut self, plan: &Plan) {
        if plan.configuration.is_empty() {
            return;
        }
        self.row("**configuration changes**, in force after the merge:\n\n");
        for change in &plan.configuration {
            let (from, to) = (or_none(change.from.as_ref()), or_none(change.to.as_ref()));
            self.row(&format!("- {}: {} → {}\n", code(&change.key), code(from), code(to)));
        }
        self.row("\n");
    }

    /// What a pull request adds that its base does not know.
    fn postponed(&mut self, plan: &Plan) {
        for (reason, images) in postponed(plan) {
            self.row(&format!("- ℹ️ {POSTPONED}: {} ({})\n", code(reason), code(&images)));
        }
    }

    fn wrong(&mut self, plan: &Plan) {
        for conflict in &plan.conflicts {
            self.row(&format!(
                "- ⚠️ {} at {}: {}\n",
                code(&conflict.target),
                code(&conflict.destination),
                code(&conflict.reason)
            ));
        }
        plan.failures.iter().for_each(|failed| self.row(&look_up_failed(failed)));
    }

    fn destination(&mut self, plan: &Plan, name: &str) {
        self.row(&format!("\n#### {}\n\n", code(name)));
        let copies: Vec<&Copy> =
            plan.copies().filter(|copy| copy.want.target.destination == name).collect();
        if !copies.is_empty() {
            self.row(
                "| image | tag | digest | platforms | size | pulls | upstream |\n\
                 |---|---|---|---|--:|--:|---|\n",
            );
        }
        for copy in copies {
            let platforms: Vec<String> = copy.platforms.iter().map(ToString::to_string).collect();
            let unknown = || "?".to_owned();
            let size = copy.bytes.map_or_else(unknown, |bytes| ByteSize(bytes).to_string());
            let size = size.replace(' ', "&nbsp;");
            let pulls = copy.manifests.map_or_else(unknown, |manifests| manifests.to_string());
            self.row(&format!(
                "| {} | {} | {} | {} | {size} | {pulls} | {} |\n",
                code(copy.want.target.repository.as_str()),
                tags(copy),
                digests(copy),
                platforms.join(", "),
                upstream(copy)
            ));
        }
        let unwanted = plan.unwanted.iter().filter(|item| item.destination == name);
        for (number, item) in unwanted.enumerate() {
            let gap = if number == 0 { "\n" } else { "" };
            self.row(&format!(
                "{gap}- no longer wanted: {}; it stays there\n",
                code(&item.target())
            ));
        }
    }

    /// What is copied, in full: to be compared, or pulled by hand.
    fn references(&mut self, plan: &Plan) {
        let rows = plan.copies().map(|copy| {
            let whole = code(&format!("{}@{}", copy.want.source.tagged(), copy.digest));
            format!("- {}: {whole}\n", code(&copy.want.file))
        });
        let mut rows: Vec<String> = rows.collect();
        // One for each destination.
        rows.dedup();
        if !rows.is_empty() {
            self.folded("Full digests and files", rows.into_iter());
        }
    }

    fn repositories(&mut self, plan: &Plan) {
        let rows: Vec<String> = plan
            .repositories()
            .map(|(create, action)| {
                let mut line = format!(
                    "- {} at {}: {}",
                    code(action.at.repository.as_str()),
                    code(&action.at.destination),
                    if create { "new" } else { "changed" },
                );
                for change in &action.settings {
                    let _ = write!(line, "; {}: {}", change.setting, code(&change.to.to_string()));
                }
                line.push('\n');
                line
            })
            .collect();
        if !rows.is_empty() {
            let summary =
                format!("{} {} made or changed", rows.len(), repositories_noun(rows.len()));
            self.folded(&summary, rows.into_iter());
        }
    }

    pub(crate) fn folded(&mut self, summary: &str, rows: impl Iterator<Item = String>) {
        let open = format!("\n<details><summary>{summary}</summary>\n\n");
        if open.chars().count() + 20 > self.left || self.omitted > 0 {
            self.omitted += 1 + rows.count();
            return;
        }
        self.always(&open);
        rows.for_each(|row| self.row(&row));
        self.text.push_str("\n</details>\n");
    }

    /// Whether nothing was put on it.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.omitted == 0
    }

    pub(crate) fn finish(mut self) -> String {
        if self.omitted > 0 {
            let _ = write!(
                self.text,
                "\n*{} left out, to stay within what a comment can hold; the whole is in the JSON form.*\n",
                count(self.omitted as u64, "line")
            );
        }
        self.text
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
