//! Plans and reports as text for people. Colours are ANSI sequences, which the command line strips where the
//! output is no terminal.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use mirror_failure::{Failure, count, printable};
use mirror_oci::{ByteSize, Digest};
use mirror_plan::plan::{Change, Copy, Holder, LookupFailure, Note, Plan};
use mirror_plan::report::Verification;
use mirror_plan::want::{RepositoryAction, Unwanted, Want};

use crate::people::failure::{Explained, SECURITY, explained};

const ADDED: Style = AnsiColor::Green.on_default();
pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();
pub(crate) const WRONG: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();

/// The plan for people: what changes, destination by destination, then what is wrong, then the totals.
///
/// ```
/// use mirror_plan::plan::Plan;
/// use mirror_render::people::render_plan;
///
/// let mut plan = Plan::default();
/// plan.totals.unchanged = 14;
/// let text = render_plan(&plan);
/// assert!(text.contains("0 to create, 0 to update, 14 unchanged"), "{text}");
/// ```
pub fn render_plan(plan: &Plan) -> String {
    let mut out = Text(String::new());
    for alert in &plan.alerts {
        out.line(WRONG, "alert", &alert.told(str::to_owned));
    }
    out.configuration(plan);
    let mut destinations: Vec<&str> =
        plan.copies().map(|copy| copy.want.target.destination.as_str()).collect();
    destinations.extend(plan.repositories().map(|(_, action)| action.at.destination.as_str()));
    destinations.extend(plan.unchanged.iter().map(|item| item.want.target.destination.as_str()));
    destinations.extend(plan.unwanted.iter().map(|item| item.destination.as_str()));
    destinations.sort_unstable();
    destinations.dedup();
    for destination in destinations {
        out.destination(plan, destination);
    }
    for conflict in &plan.conflicts {
        out.line(WRONG, "conflict", &format!("{} at {}", conflict.target, conflict.destination));
        out.detail("", &conflict.reason);
        out.detail("", &format!("wanted by {}", conflict.files.join(", ")));
    }
    plan.failures.iter().for_each(|failed| out.look_up_failed(failed));
    for (reason, images) in postponed(plan) {
        out.line(CHANGED, "note", &format!("{POSTPONED}: {reason}"));
        out.detail("", &images);
    }
    plan.notes.iter().for_each(|note| out.note(note));
    out.totals(plan);
    out.0
}

/// What a look at the destinations found, for people.
///
/// ```
/// use mirror_plan::report::Verification;
/// use mirror_render::people::render_verification;
///
/// let found = Verification { images: 14, whole: 14, ..Verification::default() };
/// assert!(render_verification(&found).contains("14 of 14 images whole"));
/// ```
pub fn render_verification(found: &Verification) -> String {
    let mut out = Text(String::new());
    for defect in &found.defects {
        let digest = defect.digest.as_ref().map(|digest| format!(" ({digest})"));
        let digest = digest.unwrap_or_default();
        let text = format!("{}: {}{digest}", what(&defect.want, "at"), defect.problem);
        out.line(WRONG, if defect.missing { "missing" } else { "damaged" }, &text);
    }
    for failed in &found.failures {
        out.line(WRONG, "error", &format!("could not look at {}", what(&failed.want, "for")));
        out.failure(&failed.failure);
    }
    let mut text = format!("{} of {} whole", found.whole, count(found.images as u64, "image"));
    if !found.defects.is_empty() {
        let _ = write!(text, "; {}", count(found.defects.len() as u64, "defect"));
    }
    out.line(STRONG, "verified", &text);
    let missing = || found.defects.iter().filter(|defect| defect.missing);
    if missing().any(|defect| defect.digest.is_some()) {
        out.detail("help: ", "`mirror apply --repair` puts back what is missing");
    } else if missing().next().is_some() {
        out.detail("help: ", "`mirror apply` copies what is missing");
    }
    out.0
}

/// What is said of wants that the base of a pull request does not know.
pub(crate) const POSTPONED: &str = "new in this pull request; not checked before it is merged";

/// What is checked after the merge, by what is new about it: the images, of many the first.
pub(crate) fn postponed(plan: &Plan) -> BTreeMap<&str, String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for item in &plan.postponed {
        found.entry(&item.reason).or_default().push(item.want.source.reference());
    }
    let named = found.into_iter().map(|(reason, images)| {
        let more = images.len().saturating_sub(MOST_NAMED);
        let mut text = images.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        (reason, text)
    });
    named.collect()
}

/// Images that are named where there are many of one kind.
const MOST_NAMED: usize = 10;

/// A side of a change of the configuration.
pub(crate) fn or_none(value: Option<&String>) -> &str {
    value.map_or("none", String::as_str)
}

pub(crate) fn what(want: &Want, side: &str) -> String {
    let (target, destination) = (want.target.shown(), &want.target.destination);
    if want.source.tagged() == target {
        return format!("{target} {side} {destination}");
    }
    format!("{} {side} {destination} ({target})", want.source.reference())
}

/// Text as it grows.
pub(crate) struct Text(pub(crate) String);

impl Text {
    pub(crate) fn line(&mut self, style: Style, word: &str, text: &str) {
        let _ = writeln!(self.0, "{style}{word}{style:#}: {}", printable(text));
    }

    /// First of all, since it decides what everything else means.
    fn configuration(&mut self, plan: &Plan) {
        if plan.configuration.is_empty() {
            return;
        }
        let _ =
            writeln!(self.0, "{CHANGED}configuration changes{CHANGED:#}: in force after the merge");
        for change in &plan.configuration {
            let (from, to) = (or_none(change.from.as_ref()), or_none(change.to.as_ref()));
            self.detail("", &format!("{}: {from} → {to}", change.key));
        }
        self.0.push('\n');
    }

    pub(crate) fn detail(&mut self, word: &str, text: &str) {
        let _ = writeln!(self.0, "  {word}{}", printable(text));
    }

    pub(crate) fn looked_up(&mut self, failed: &LookupFailure) {
        let (style, word) =
            if failed.failure.is_deferred() { (CHANGED, "deferred") } else { (WRONG, "error") };
        let verb = if failed.failure.is_deferred() { "" } else { "could not look up " };
        self.line(style, word, &format!("{verb}{}", what(&failed.want, "for")));
    }

    pub(crate) fn look_up_failed(&mut self, failed: &LookupFailure) {
        self.looked_up(failed);
        self.serves(failed.serves.as_ref());
        self.failure(&failed.failure);
    }

    /// The first question of whoever reads at night.
    pub(crate) fn serves(&mut self, digest: Option<&Digest>) {
        if let Some(digest) = digest {
            self.detail("", &format!("not refreshed; the destination serves {digest}"));
        }
    }

    /// Why an image is not taken from its source.
    pub(crate) fn holder(&mut self, holder: Option<&Holder>) {
        let Some(holder) = holder else { return };
        if holder.failure.is_security() {
            self.detail("  security: ", SECURITY);
        }
        self.detail("  caused by: source: ", &holder.failure.message);
    }

    pub(crate) fn failure(&mut self, failure: &Failure) {
        let Explained { security, cause, help } = explained(failure);
        security.iter().for_each(|security| self.detail("security: ", security));
        self.detail("caused by: ", &cause);
        help.iter().for_each(|help| self.detail("help: ", help));
    }

    fn destination(&mut self, plan: &Plan, name: &str) {
        let _ = writeln!(self.0, "{STRONG}{name}{STRONG:#}");
        let copies: Vec<&Copy> =
            plan.copies().filter(|copy| copy.want.target.destination == name).collect();
        let unchanged = plan
            .unchanged
            .iter()
            .map(|item| &item.want)
            .filter(|want| want.target.destination == name);
        let wanted = copies.iter().map(|copy| &copy.want).chain(unchanged);
        let unwanted = plan.unwanted.iter().filter(|item| item.destination == name);
        let targets = wanted.map(|want| want.target.shown()).chain(unwanted.map(Unwanted::target));
        let width = targets.map(|target| target.len()).max().unwrap_or(0).min(60);
        for (create, action) in
            plan.repositories().filter(|(_, action)| action.at.destination == name)
        {
            self.repository(create, action);
        }
        for copy in copies {
            self.copy(copy, width);
        }
        for item in plan.unwanted.iter().filter(|item| item.destination == name) {
            let target = item.target();
            let _ = writeln!(
                self.0,
                "  {WRONG}-{WRONG:#} {target:width$}  no longer wanted; it stays there"
            );
        }
        for item in plan.unchanged.iter().filter(|item| item.want.target.destination == name) {
            let (target, digest) = (item.want.target.shown(), item.digest.short());
            let owed =
                if item.signatures_owed { "  its signatures are looked for again" } else { "" };
            let _ = writeln!(self.0, "  {QUIET}= {target:width$}  {digest}{owed}{QUIET:#}");
        }
        self.0.push('\n');
    }

    fn repository(&mut self, create: bool, action: &RepositoryAction) {
        let (style, sign, word) =
            if create { (ADDED, '+', "new") } else { (CHANGED, '~', "settings") };
        let name = &action.at.repository;
        let _ = writeln!(self.0, "  {style}{sign}{style:#} repository {name}  {word}");
        for change in &action.settings {
            let to = shortened(&change.to);
            let text = match &change.from {
                None => format!("{}: {to}", change.setting),
                Some(from) => format!("{}: {} → {to}", change.setting, shortened(from)),
            };
            self.detail("    ", &text);
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::TagMoved { source, upstream, .. } => {
                self.line(
                    CHANGED,
                    "note",
                    &format!("upstream moved the tag of {source} to {upstream}"),
                );
                self.detail("", "the pinned digest is used");
            }
            Note::AskedAsStranger { registry } => {
                let text = format!("{POSTPONED}: {registry} was asked without credentials");
                self.line(CHANGED, "note", &text);
            }
            Note::SettingsUnknown { destination, repositories, why } => {
                let of = if *repositories == 1 { "repository" } else { "repositories" };
                let text =
                    format!("the settings of {repositories} {of} at {destination} are unknown");
                self.line(CHANGED, "warning", &text);
                self.detail("caused by: ", why);
                let help = "the images are mirrored all the same; to compare the settings, give the role that right, or name one of the account as `role` of the registry in images/mirror.toml";
                self.detail("help: ", help);
            }
            Note::WouldExpire { at, gone, images } => {
                let gone = gone.iter().map(|image| format!("{image} (gone upstream)"));
                let images: Vec<String> = gone.chain(images.iter().cloned()).collect();
                let text = format!(
                    "the lifecycle policy of {} at {} would delete images that the tree names: {}",
                    at.repository,
                    at.destination,
                    images.join(", ")
                );
                self.line(CHANGED, "warning", &text);
                self.detail("help: ", "except them from the rules, or delete them from the tree");
            }
            Note::NoPreview { at, why } => {
                let text = format!(
                    "what the new lifecycle policy of {} at {} would delete is unknown",
                    at.repository, at.destination
                );
                self.line(CHANGED, "warning", &text);
                self.detail("caused by: ", why);
            }
            Note::OtherEncryption { at, change } => {
                let from = change.from.as_ref().map(shortened).unwrap_or_default();
                let text = format!(
                    "{} at {} is encrypted with {from}, not with {}",
                    at.repository,
                    at.destination,
                    shortened(&change.to)
                );
                self.line(CHANGED, "warning", &text);
                let help = "encryption is fixed when a repository is made; delete it, and apply makes it anew";
                self.detail("help: ", help);
            }
        }
    }

    fn copy(&mut self, copy: &Copy, width: usize) {
        let target = copy.want.target.shown();
        let digest = copy.digest.short();
        let (style, sign, change) = match &copy.change {
            Change::Create => (ADDED, '+', format!("new → {digest}")),
            Change::Update { from } => (CHANGED, '~', format!("{} → {digest}", from.short())),
            Change::Replace { .. } => (CHANGED, '~', format!("unreadable → {digest}")),
            Change::Complete { missing } => {
                let parts = count(missing.len() as u64, "part");
                let verb = if missing.len() == 1 { "is" } else { "are" };
                (CHANGED, '~', format!("{digest}, {parts} of which {verb} missing"))
            }
        };
        let _ = write!(self.0, "  {style}{sign}{style:#} {target:width$}  {change}");
        if let Some(size) = copy.bytes {
            let _ = write!(self.0, "  {}", Size(size, &copy.platforms));
        }
        if let Some(previous) = &copy.previous {
            let _ = write!(self.0, "  {QUIET}was {}{QUIET:#}", printable(version(previous)));
        }
        if let Some(holder) = &copy.holder {
            let _ = write!(self.0, "  {CHANGED}{}{CHANGED:#}", printable(&holder.told()));
        }
        self.0.push('\n');
        if let Change::Replace { reason } = &copy.change {
            let _ = writeln!(
                self.0,
                "  {QUIET}  what is there can't be read: {}{QUIET:#}",
                printable(reason)
            );
        }
        self.holder(copy.holder.as_ref());
        let source = copy.want.source.tagged();
        if source != target {
            let _ = writeln!(self.0, "  {QUIET}  from {source}{QUIET:#}");
        }
    }

    fn totals(&mut self, plan: &Plan) {
        let totals = &plan.totals;
        let mut parts = Vec::new();
        let repositories =
            [(totals.create_repositories, "new"), (totals.update_repositories, "changed")];
        for (number, word) in repositories.into_iter().filter(|(number, _)| *number > 0) {
            parts.push(format!("{number} {word} {}", repositories_noun(number)));
        }
        parts.extend([
            format!("{} to create", totals.create),
            format!("{} to update", totals.update),
            format!("{} unchanged", totals.unchanged),
        ]);
        let rest = [
            (totals.unwanted, "no longer wanted"),
            (totals.postponed, "checked after the merge"),
            (totals.complete, "to complete"),
            (totals.conflicts, "in conflict"),
            (totals.failures, "not looked up"),
            (totals.deferred, "deferred"),
        ];
        parts.extend(rest.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
        self.line(STRONG, "plan", &parts.join(", "));
        if plan.copies().next().is_none() {
            return;
        }
        let known = totals.bytes.is_some();
        let pulls: Vec<String> = plan
            .pulls
            .iter()
            .map(|pulls| {
                let least = if known { "" } else { "at least " };
                let left =
                    pulls.left.map(|left| format!(" (of {left} pulls left)")).unwrap_or_default();
                format!(
                    "{least}{} from {}{left}",
                    count(pulls.manifests, "manifest"),
                    pulls.registry
                )
            })
            .collect();
        let size =
            totals.bytes.map(|size| format!("{} of distinct blobs at most; ", ByteSize(size)));
        self.detail("to move: ", &format!("{}{}", size.unwrap_or_default(), pulls.join(", ")));
    }
}

/// The tag of a fully spelled reference, or the short form of its digest where it has no tag.
pub(crate) fn version(reference: &str) -> &str {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, digest.get(..19).unwrap_or(digest)),
        None => (reference, ""),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map_or(digest, |(_, tag)| tag)
}

pub(crate) fn repositories_noun(number: usize) -> &'static str {
    if number == 1 { "repository" } else { "repositories" }
}

/// A setting's value on a line: documents are in the JSON form of the plan.
fn shortened(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

struct Size<'a>(u64, &'a [mirror_oci::Platform]);

impl fmt::Display for Size<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ByteSize(self.0))?;
        match self.1 {
            [] => Ok(()),
            platforms if platforms.len() <= 3 => {
                let names: Vec<_> = platforms.iter().map(ToString::to_string).collect();
                write!(f, "  {}", names.join(" "))
            }
            platforms => write!(f, "  {} platforms", platforms.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use mirror_plan::plan::{Answers, Draft, Observed};
    use mirror_plan::want::Wants;

    use super::*;

    #[test]
    fn an_empty_plan_is_short() {
        let wants = Wants::default();
        let plan = Draft::new(&wants, Observed::default()).settle(&Answers::default());
        let text = render_plan(&plan);
        assert!(text.ends_with(": 0 to create, 0 to update, 0 unchanged\n"), "{text}");
    }
}
