//! `.github/dependabot.yml`
//!
//! <https://docs.github.com/en/code-security/dependabot/working-with-dependabot/dependabot-options-reference>

use std::fmt::Write as _;

use super::{BotRules, Group, Keep, secret};

const BEGIN: &str = "# mirror bots: begin";
const END: &str = "# mirror bots: end";
const REGISTRIES: (&str, &str) =
    ("# mirror bots: begin of registries", "# mirror bots: end of registries");

/// The whole file.
pub(super) fn written(rules: &BotRules, existing: Option<&str>) -> Result<String, String> {
    let fresh = format!("version: 2\nupdates:\n  {BEGIN}\n  {END}\n");
    let text = existing.unwrap_or(&fresh);
    let text = with_registries(rules, text)?;
    let lines: Vec<&str> = text.lines().collect();
    let place = |mark: &str| lines.iter().position(|line| is(line, mark));
    let (before, after, indent) = match (place(BEGIN), place(END)) {
        (Some(begin), Some(end)) if begin < end => {
            let indent = lines.get(begin).map_or(0, |line| indentation(line));
            (lines.get(..begin), lines.get(end + 1..), indent)
        }
        (None, None) => {
            let at = lines.iter().position(|line| line.trim_end() == "updates:");
            let at =
                at.ok_or("it has no line `updates:`; write one, and the rest comes by itself")?;
            let next = lines.get(at + 1..).unwrap_or_default();
            let next = next.iter().find(|line| line.trim_start().starts_with("- "));
            (lines.get(..=at), lines.get(at + 1..), next.map_or(2, |line| indentation(line)))
        }
        _ => return Err(format!("it has only one of the lines `{BEGIN}` and `{END}`")),
    };
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let mut others = before.iter().chain(after).map(|line| line.replace(['"', '\''], ""));
    if others
        .any(|line| line.trim_start_matches(['-', ' ']).starts_with("package-ecosystem: docker"))
    {
        return Err("it has an entry for docker already, and two for one folder are invalid; delete it, or \
                    put it between the two comment lines"
            .to_owned());
    }
    let mut out = before.join("\n");
    let pad = " ".repeat(indent);
    let _ = write!(
        out,
        "\n{pad}{BEGIN}\n{pad}# Written by `mirror bots`, which puts it right again when the tree has changed.\n"
    );
    for line in entries(rules).lines() {
        let _ = writeln!(out, "{pad}{line}");
    }
    let _ = writeln!(out, "{pad}{END}");
    after.iter().for_each(|line| {
        let _ = writeln!(out, "{line}");
    });
    Ok(out)
}

fn is(line: &str, mark: &str) -> bool {
    line.trim() == mark
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Puts the registries that want credentials in front of the updates.
fn with_registries(rules: &BotRules, text: &str) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let place = |mark: &str| lines.iter().position(|line| is(line, mark));
    let (before, after) = match (place(REGISTRIES.0), place(REGISTRIES.1)) {
        (Some(begin), Some(end)) if begin < end => (lines.get(..begin), lines.get(end + 1..)),
        _ if rules.private.is_empty() => return Ok(format!("{}\n", text.trim_end_matches('\n'))),
        _ if lines.iter().any(|line| line.starts_with("registries:")) => {
            return Err(format!(
                "it has `registries:` of its own; put the lines `{}` and `{}` around them, and copy back by hand \
                 what is to stay",
                REGISTRIES.0, REGISTRIES.1
            ));
        }
        _ => {
            let at =
                lines.iter().position(|line| line.trim_end() == "updates:").unwrap_or(lines.len());
            (lines.get(..at), lines.get(at..))
        }
    };
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let mut out: String = before.iter().map(|line| format!("{line}\n")).collect();
    if !rules.private.is_empty() {
        let _ = writeln!(out, "{}\nregistries:", REGISTRIES.0);
        for registry in &rules.private {
            let secret = secret(registry);
            let _ = write!(
                out,
                "  {}:\n    type: docker-registry\n    url: https://{registry}\n    \
                 username: ${{{{secrets.MIRROR_{secret}_USERNAME}}}}\n    \
                 password: ${{{{secrets.MIRROR_{secret}_PASSWORD}}}}\n",
                name(registry.as_str())
            );
        }
        let _ = writeln!(out, "{}", REGISTRIES.1);
    }
    out.extend(after.iter().map(|line| format!("{line}\n")));
    Ok(out)
}

fn name(registry: &str) -> String {
    registry.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
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
            let _ = writeln!(out, "    - \"/{}/{folder}\"", rules.images);
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
