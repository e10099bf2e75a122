//! `.github/dependabot.yml`
//!
//! <https://docs.github.com/en/code-security/dependabot/working-with-dependabot/dependabot-options-reference>
//!
//! Others write in this file too. What is ours stands between two comment lines, below a key at the top of the file,
//! and is replaced as text; every other byte stays.

use std::fmt::Write as _;

use super::{BotRules, Group, Keep, secret, yaml};

/// Lines before and behind, and an indentation.
type Section<'a> = (&'a [&'a str], &'a [&'a str], usize);

/// A part of the file that is ours.
struct FilePart {
    key: &'static str,
    begin: &'static str,
    end: &'static str,
}

const UPDATES: FilePart =
    FilePart { key: "updates", begin: "# mirror bots: begin", end: "# mirror bots: end" };
const REGISTRIES: FilePart = FilePart {
    key: "registries",
    begin: "# mirror bots: begin of registries",
    end: "# mirror bots: end of registries",
};

/// The text of the whole file, with what others have put into it.
pub(super) fn written(rules: &BotRules, existing: Option<&str>) -> Result<String, String> {
    yaml::is_mapping(existing.unwrap_or_default())?;
    let text = readable(existing.unwrap_or_default())?;
    let text = REGISTRIES.put(&text, &registries(rules))?;
    let text = UPDATES.put(&text, &entries(rules))?;
    let others = UPDATES.put(&text, "")?;
    yaml::keeps(&REGISTRIES.put(&others, "")?, &text)?;
    if overlaps(&others, &rules.images) {
        return Err(format!(
            "it has another entry for docker that covers /{}, and two for one folder are invalid; delete that one, \
             since ours cover all of the tree",
            rules.images
        ));
    }
    let crlf = existing.is_some_and(|text| text.contains("\r\n"));
    Ok(if crlf { text.replace('\n', "\r\n") } else { text })
}

/// The file as one that can be spliced: keys at the start of lines, and a version.
fn readable(text: &str) -> Result<String, String> {
    let lines = || text.lines().map(|line| line.trim_start_matches('\u{feff}'));
    let mut content = lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let odd = content.clone().next().is_some_and(|line| line.starts_with(['{', ' ', '\t', '%']));
    if odd || content.clone().any(|line| line.trim_end() == "...") {
        return Err("its keys are not at the start of lines of their own; write it in block style"
            .to_owned());
    }
    let versioned = content.any(|line| line.trim_start_matches(['"', '\'']).starts_with("version"));
    Ok(if versioned { text.to_owned() } else { format!("version: 2\n{text}") })
}

impl FilePart {
    /// Puts `ours` below the key, in place of what was ours there; nothing, and no key of ours, if it is empty.
    fn put(&self, text: &str, ours: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.lines().collect();
        let Some((before, after, indent)) = self.section(&lines, ours.is_empty())? else {
            return Ok(ended(text));
        };
        let keyed = before.iter().any(|line| self.is_key(line));
        let below = after.iter().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let alone = before.last().is_some_and(|line| self.is_key(line))
            && !below.is_some_and(|line| indentation(line) > 0 || line.starts_with('-'));
        // A key without anything below is invalid.
        let before = match before.split_last() {
            Some((_, rest)) if ours.is_empty() && alone => rest,
            _ => before,
        };
        let mut out = String::new();
        for line in before {
            // An empty list has no room.
            let bare =
                if self.is_key(line) { line.replacen("[]", "", 1) } else { (*line).to_owned() };
            let _ = writeln!(out, "{}", bare.trim_end());
        }
        if !ours.is_empty() {
            let pad = " ".repeat(if keyed { indent } else { 2 });
            if !keyed {
                let _ = writeln!(out, "{}:", self.key);
            }
            let _ = writeln!(
                out,
                "{pad}{}\n{pad}# Written by `mirror bots`, which puts it right again when the tree has changed.",
                self.begin
            );
            ours.lines().for_each(|line| {
                let _ = writeln!(out, "{pad}{line}");
            });
            let _ = writeln!(out, "{pad}{}", self.end);
        }
        after.iter().for_each(|line| {
            let _ = writeln!(out, "{line}");
        });
        Ok(out)
    }

    /// What stands before our part and behind it, and how far it is indented; nothing, if there is none and `optional`.
    fn section<'a>(
        &self,
        lines: &'a [&'a str],
        optional: bool,
    ) -> Result<Option<Section<'a>>, String> {
        let split = |end: usize, start: usize, indent: usize| {
            let before = lines.get(..end).unwrap_or_default();
            Ok(Some((before, lines.get(start..).unwrap_or_default(), indent)))
        };
        let mark = |mark: &str| lines.iter().position(|line| line.trim() == mark);
        match (mark(self.begin), mark(self.end)) {
            (Some(begin), Some(end)) if begin < end => {
                split(begin, end + 1, lines.get(begin).map_or(2, |line| indentation(line)))
            }
            (None, None) if optional => Ok(None),
            (None, None) => {
                if let Some(at) = lines.iter().position(|line| self.is_key(line)) {
                    return split(at + 1, at + 1, indent_below(lines.get(at + 1..)));
                }
                if lines.iter().any(|line| self.stands_at(line)) {
                    return Err(format!(
                        "`{0}` is written in a way that nothing can be put below; write `{0}:` on a line of its own, \
                         and its items on the lines below",
                        self.key
                    ));
                }
                let at = lines.iter().position(|line| UPDATES.is_key(line)).unwrap_or(lines.len());
                split(at, at, 2)
            }
            _ => Err(format!("it has only one of the lines `{}` and `{}`", self.begin, self.end)),
        }
    }

    /// Whether a line at the top of the file has the key, in whatever way.
    fn stands_at(&self, line: &str) -> bool {
        let inside = line.strip_prefix('{').map_or(line, str::trim_start);
        inside.trim_start_matches(['"', '\'']).starts_with(self.key)
    }

    /// Whether a line is the key at the top of the file, with nothing, an empty list or a comment behind it.
    fn is_key(&self, line: &str) -> bool {
        let line = line.trim_end().trim_start_matches('\u{feff}');
        let bare = line.strip_prefix(['"', '\'']).unwrap_or(line);
        let rest = bare.strip_prefix(self.key).map(|rest| rest.trim_start_matches(['"', '\'']));
        let rest = rest.and_then(|rest| rest.trim_start().strip_prefix(':')).map(str::trim);
        let rest = rest.map(|rest| rest.strip_prefix("[]").unwrap_or(rest).trim_start());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    }
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end_matches(['\r', '\n']))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// That of the first item below a key.
fn indent_below(lines: Option<&[&str]>) -> usize {
    let below = lines.unwrap_or_default().iter();
    let first = below
        .map(|line| line.trim_end())
        .find(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    first.filter(|line| indentation(line) > 0 || line.starts_with('-')).map_or(2, indentation)
}

/// Whether somebody else's entry is about folders of the tree.
fn overlaps(others: &str, images: &str) -> bool {
    let bare = others.replace(['"', '\''], "");
    let below = bare.lines().skip_while(|line| !UPDATES.is_key(line)).skip(1);
    let items: Vec<&str> = below.collect();
    let indent = indent_below(Some(&items));
    let mut entries: Vec<String> = Vec::new();
    for line in items {
        let line = line.split(" #").next().unwrap_or_default();
        match entries.last_mut() {
            Some(entry) if !(line.trim_start().starts_with('-') && indentation(line) == indent) => {
                *entry = format!("{entry} {line}");
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries.iter().any(|entry| {
        let words = entry.split([' ', ',', '[', ']', '{', '}', '\t']);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let docker = words.windows(2).any(|pair| pair == ["package-ecosystem:", "docker"]);
        let inside = |word: &&str| {
            let path = word.trim_start_matches('/');
            path.starts_with('*')
                || path == images
                || path.strip_prefix(images).is_some_and(|rest| rest.starts_with('/'))
        };
        docker && (images.is_empty() || words.iter().any(inside))
    })
}

/// The registries that want credentials.
fn registries(rules: &BotRules) -> String {
    let mut out = String::new();
    for registry in &rules.private {
        let secret = secret(registry);
        // Dependabot knows Docker Hub by another name.
        let host = match registry.as_str() {
            "docker.io" => "registry.hub.docker.com",
            host => host,
        };
        let _ = write!(
            out,
            "{}:\n  type: docker-registry\n  url: https://{host}\n  \
             username: ${{{{secrets.MIRROR_{secret}_USERNAME}}}}\n  \
             password: ${{{{secrets.MIRROR_{secret}_PASSWORD}}}}\n",
            name(registry.as_str())
        );
    }
    out
}

/// A key for a registry; no two have the same.
fn name(registry: &str) -> String {
    registry.replace('-', "--").replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "-")
}

fn entries(rules: &BotRules) -> String {
    let mut out = String::new();
    // One rule for everything needs no list, and holds for what is added tomorrow. Lists must not overlap.
    let all = matches!(rules.groups.as_slice(), [Group { keep: Keep::Nothing, .. }] | []);
    let groups = if all {
        vec![Group { keep: Keep::Nothing, folders: vec!["**/*".to_owned()] }]
    } else {
        rules.groups.clone()
    };
    for group in groups {
        // What was mirrored is not used yet, and a correction may be urgent: no cooldown, whatever a linter says.
        out +=
            "- package-ecosystem: docker # zizmor: ignore[dependabot-cooldown]\n  directories:\n";
        for folder in &group.folders {
            // A JSON string is a YAML string, whatever is in the name of a folder.
            let path = serde_json::Value::String(format!("/{}", rules.path(folder)));
            let _ = writeln!(out, "    - {path}");
        }
        out += "  schedule:\n    interval: daily\n";
        if !rules.private.is_empty() {
            let names: Vec<String> =
                rules.private.iter().map(|registry| name(registry.as_str())).collect();
            let _ = writeln!(out, "  registries: [{}]", names.join(", "));
        }
        // The limit counts folders; what counts for people is the group.
        out += "  groups:\n    images:\n      patterns: [\"*\"]\n";
        out += match group.keep {
            Keep::Nothing => "",
            Keep::Major => {
                "  ignore:\n    - dependency-name: \"*\"\n      update-types: [\"version-update:semver-major\"]\n"
            }
            Keep::Minor => {
                "  ignore:\n    - dependency-name: \"*\"\n      \
                 update-types: [\"version-update:semver-major\", \"version-update:semver-minor\"]\n"
            }
        };
    }
    out
}
