//! `renovate.json`, and the other files that Renovate reads.
//!
//! <https://docs.renovatebot.com/configuration-options/>
//!
//! Others write in this file too, with comments and numbers of their own: our rules are put into its syntax tree, and every
//! other byte stays. Which rules are ours says the front of their descriptions.

use std::collections::BTreeMap;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use mirror_tree::version::Keep;
use serde_json::{Value, json};

use super::section::{GroupBy, Interval, Majors};
use super::{BotRules, secret};

/// In front of the description of each rule of ours.
const OURS: &str = "mirror bots: ";

/// A file that says nothing yet.
const NEW: &str = r#"{
  "$schema": "https://docs.renovatebot.com/renovate-schema.json",
  "extends": ["config:recommended"]
}
"#;

/// Pull requests that are open at most, if nothing else is said: `prConcurrentLimit`.
const MOST_OPEN: u16 = 10;

/// Deeper files are nobody's, and reading them takes stack.
const DEEPEST: usize = 64;

/// The text of the whole file, with what others have put into it.
pub(super) fn written(
    rules: &BotRules,
    existing: Option<&str>,
    key: Option<&str>,
) -> Result<String, String> {
    let text = existing.unwrap_or(NEW);
    let mark = if text.starts_with('\u{feff}') { "\u{feff}" } else { "" };
    let root = parsed(text)?;
    let object = configuration(&root, key)?;
    for ours in ["packageRules", "hostRules", "ignorePaths"] {
        let same = object.properties().into_iter().filter(|one| is_called(one, ours));
        if same.count() > 1 {
            return Err(format!(
                "its key `{ours}` is there twice, and the last one wins: leave one"
            ));
        }
    }
    // `config:recommended` passes over folders called test, tests, vendor, examples, as images may be.
    if object.get("ignorePaths").is_none() {
        object.append("ignorePaths", input(&json!([])));
    }
    merge(&object, "packageRules", package_rules(rules))?;
    merge(&object, "hostRules", host_rules(rules))?;
    Ok(format!("{mark}{root}"))
}

/// Whether the file says that Renovate is off, or nothing of it.
pub(super) fn is_off(text: &str, key: Option<&str>) -> bool {
    let Ok(root) = parsed(text) else { return false };
    let Ok(object) = configuration(&root, key) else { return key.is_some() };
    let value =
        |name: &str| object.get(name).and_then(|property| property.value()?.to_serde_value());
    let off = |value: Option<&Value>| value == Some(&Value::Bool(false));
    let manager = value("dockerfile");
    let managers = value("enabledManagers");
    let managers = managers.as_ref().and_then(Value::as_array);
    off(value("enabled").as_ref())
        || off(manager.as_ref().and_then(|manager| manager.get("enabled")))
        || managers.is_some_and(|managers| !managers.iter().any(|one| one == "dockerfile"))
}

fn is_called(property: &CstObjectProp, name: &str) -> bool {
    property.name().and_then(|found| found.decoded_value().ok()).is_some_and(|found| found == name)
}

/// How many pull requests may be open at once: one for each group, and one for its major versions.
pub(super) fn pull_requests(rules: &BotRules) -> usize {
    let moving: Vec<_> = rules.entries.iter().filter(|rule| !rule.holds_all).collect();
    let groups = match rules.settings.groups {
        GroupBy::All => usize::from(!moving.is_empty()),
        GroupBy::Image => moving.len(),
        GroupBy::Registry => {
            let mut registries: Vec<_> = moving.iter().map(|rule| &rule.registry).collect();
            registries.dedup();
            registries.len()
        }
    };
    let count = if rules.settings.majors == Some(Majors::Together) { groups } else { 2 * groups };
    count.min(usize::from(rules.settings.limit.unwrap_or(MOST_OPEN)))
}

fn parsed(text: &str) -> Result<CstRootNode, String> {
    let deep = text.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'{' | b'[' => *depth += 1,
            b'}' | b']' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    if deep.max() > Some(DEEPEST) {
        return Err(format!("it is nested more than {DEEPEST} levels deep"));
    }
    CstRootNode::parse(text.trim_start_matches('\u{feff}'), &ParseOptions::default())
        .map_err(|error| format!("it is not valid JSON5: {error}"))
}

/// The object that configures Renovate: the whole file, or what is under a key of it.
fn configuration(root: &CstRootNode, key: Option<&str>) -> Result<CstObject, String> {
    let whole = root.object_value().ok_or("it is not a JSON object")?;
    match key {
        None => Ok(whole),
        Some(key) => {
            whole.object_value(key).ok_or_else(|| format!("its key `{key}` is not a JSON object"))
        }
    }
}

/// Puts our rules in place of those that were ours, in front of the others: later ones win. Nothing is touched when they
/// say what they should, however it is written.
fn merge(object: &CstObject, key: &str, ours: Vec<Rule>) -> Result<(), String> {
    let Some(property) = object.get(key) else {
        if !ours.is_empty() {
            object.append(key, CstInputValue::Array(ours.iter().map(Rule::input).collect()));
        }
        return Ok(());
    };
    let list = property.array_value().ok_or_else(|| format!("`{key}` is not a list"))?;
    let all = list.elements();
    let is_ours = |value: &Value| {
        let description = value.get("description").and_then(Value::as_str);
        description.is_some_and(|description| description.starts_with(OURS))
    };
    let (mut old, mut found) = (Vec::new(), Vec::new());
    for (at, element) in all.into_iter().enumerate() {
        if let Some(value) = element.to_serde_value().filter(is_ours) {
            found.push((at, value));
            old.push(element);
        }
    }
    let values = found.iter().map(|(_, value)| value);
    let in_front = found.iter().enumerate().all(|(expected, (at, _))| expected == *at);
    if in_front && values.eq(&ours.iter().map(Rule::value).collect::<Vec<_>>()) {
        return Ok(());
    }
    for element in old {
        element.remove();
    }
    for (at, rule) in ours.iter().enumerate() {
        list.insert(at, rule.input());
    }
    Ok(())
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), input(value)));
            CstInputValue::Object(fields.collect())
        }
    }
}

/// A rule of ours: fields in the order in which they are written.
struct Rule(Vec<(&'static str, Value)>);

impl Rule {
    fn of(description: &str, files: Value, said: Vec<(&'static str, Value)>) -> Rule {
        let mut fields = vec![
            ("description", json!(format!("{OURS}{description}"))),
            ("matchFileNames", files),
            ("matchManagers", json!(["dockerfile"])),
        ];
        fields.extend(said);
        Rule(fields)
    }

    fn input(&self) -> CstInputValue {
        let fields = self.0.iter().map(|(key, value)| ((*key).to_owned(), input(value)));
        CstInputValue::Object(fields.collect())
    }

    fn value(&self) -> Value {
        Value::Object(
            self.0.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        )
    }
}

fn package_rules(rules: &BotRules) -> Vec<Rule> {
    let all = json!([rules.path("**")]);
    let mut found = vec![whole_tree(rules)];
    if rules.settings.groups == GroupBy::Registry {
        let mut registries: Vec<_> = rules.entries.iter().map(|rule| &rule.registry).collect();
        registries.dedup();
        found.extend(registries.into_iter().map(|registry| {
            let files = json!([rules.path(&format!("{registry}/**"))]);
            let group = vec![("groupName", json!(format!("images of {registry}")))];
            Rule::of(&format!("one pull request for {registry}"), files, group)
        }));
    }
    found.extend(kept(rules));
    let immutable: Vec<String> = rules
        .entries
        .iter()
        .filter(|entry| entry.is_immutable)
        .map(|entry| rules.path(&format!("{}/*", entry.folder)))
        .collect();
    if !immutable.is_empty() {
        let whole = immutable.len() == rules.entries.len();
        let files = if whole { all.clone() } else { json!(immutable) };
        let text = "no new digests where tags are immutable";
        found.push(Rule::of(text, files, off(&["digest"])));
    }
    // Another name belongs in another folder.
    let text = "no replacement by another image";
    found.push(Rule::of(text, all.clone(), off(&["replacement"])));
    if rules.settings.automerges_digests {
        let merged = vec![("matchUpdateTypes", json!(["digest"])), ("automerge", json!(true))];
        found.push(Rule::of("merge new digests", all, merged));
    }
    found
}

/// What is kept, by the folders and the configuration alone: the text is the same after a bot has moved a tag. A rule that
/// switches off minor updates would take the patches along, which share a bucket with them.
fn kept(rules: &BotRules) -> Vec<Rule> {
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut exact: Vec<String> = Vec::new();
    for entry in &rules.entries {
        let file = rules.path(&format!("{}/*", entry.folder));
        match (&entry.keep, entry.keep.expression()) {
            (Keep::Exact, _) => exact.push(file),
            (_, Some(expression)) => {
                let key = format!("/{}/", expression.replace('/', "\\/"));
                kept.entry(key).or_default().push(file);
            }
            (_, None) => {}
        }
    }
    let mut found: Vec<Rule> = kept
        .into_iter()
        .map(|(expression, files)| {
            let said = vec![("allowedVersions", json!(expression))];
            Rule::of("stay within the version", json!(files), said)
        })
        .collect();
    if !exact.is_empty() {
        found.push(Rule::of("stay on the tag", json!(exact), off(&["major", "minor", "patch"])));
    }
    found
}

fn off(types: &[&str]) -> Vec<(&'static str, Value)> {
    vec![("matchUpdateTypes", json!(types)), ("enabled", json!(false))]
}

/// What holds for all of them.
fn whole_tree(rules: &BotRules) -> Rule {
    let settings = &rules.settings;
    let text = match (settings.groups, settings.majors) {
        (GroupBy::All, Some(Majors::Together)) => "one pull request for all images",
        (GroupBy::All, _) => "one pull request for all images, one more for major versions",
        (GroupBy::Registry, _) => "how updates of images are proposed",
        (GroupBy::Image, _) => "one pull request for each image",
    };
    let group = if settings.groups == GroupBy::Image { Value::Null } else { json!("images") };
    let mut said = vec![("groupName", group)];
    if settings.majors == Some(Majors::Together) {
        said.push(("separateMajorMinor", json!(false)));
    }
    if settings.cooldown > 0 {
        // Only Docker Hub says when a tag was pushed; the others would wait for ever.
        let days = if settings.cooldown == 1 { "day" } else { "days" };
        said.push(("minimumReleaseAge", json!(format!("{} {days}", settings.cooldown))));
        said.push(("minimumReleaseAgeBehaviour", json!("timestamp-optional")));
    }
    match settings.interval {
        Interval::Daily => {}
        Interval::Weekly => said.push(("schedule", json!(["* * * * 1"]))),
        Interval::Monthly => said.push(("schedule", json!(["* * 1 * *"]))),
    }
    if !settings.labels.is_empty() {
        said.push(("addLabels", json!(settings.labels)));
    }
    if let Some(limit) = settings.limit {
        said.push(("prConcurrentLimit", json!(limit)));
    }
    Rule::of(text, json!([rules.path("**")]), said)
}

fn host_rules(rules: &BotRules) -> Vec<Rule> {
    let private = rules.private.iter().map(|registry| {
        let secret = secret(registry);
        Rule(vec![
            ("description", json!(format!("{OURS}credentials"))),
            ("hostType", json!("docker")),
            ("matchHost", json!(registry.as_str())),
            ("username", json!(format!("{{{{ secrets.MIRROR_{secret}_USERNAME }}}}"))),
            ("password", json!(format!("{{{{ secrets.MIRROR_{secret}_PASSWORD }}}}"))),
        ])
    });
    // With a port or a scheme it would not match.
    let plain = rules.plain.iter().map(|host| {
        Rule(vec![
            ("description", json!(format!("{OURS}plain HTTP"))),
            ("hostType", json!("docker")),
            ("matchHost", json!(host)),
            ("insecureRegistry", json!(true)),
        ])
    });
    private.chain(plain).collect()
}
