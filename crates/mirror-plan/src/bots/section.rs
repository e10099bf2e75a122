//! `[bots]`: how the bots go about it.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::config::problems::Problems;

/// Days that an update waits, unless the configuration says otherwise: Dependabot's own default since July 2026.
const COOLDOWN: u16 = 3;

/// How the bots go about it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct BotsFile {
    /// How often they look for updates. Default: daily.
    #[serde(default)]
    pub(crate) interval: Interval,
    /// Days that a new version waits before it is proposed, 0 to 90. Default: 3; 0 leaves it to the bot.
    #[schemars(with = "Option<u16>", range(max = 90))]
    pub(crate) cooldown: Option<Spanned<u16>>,
    /// Which updates share a pull request. Default: all.
    #[serde(default)]
    pub(crate) groups: GroupBy,
    /// Whether major versions get pull requests of their own. Default: with Renovate they do; with Dependabot they don't,
    /// because updates of digests would then get one each.
    pub(crate) majors: Option<Majors>,
    /// Labels of the pull requests.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) labels: Vec<Spanned<String>>,
    /// Most pull requests that are open at once, 1 to 100.
    #[schemars(with = "Option<u16>", range(min = 1, max = 100))]
    pub(crate) limit: Option<Spanned<u16>>,
    /// What Renovate merges without a person.
    pub(crate) automerge: Option<Automerge>,
}

/// How often the bots look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Each day.
    #[default]
    Daily,
    /// Each Monday.
    Weekly,
    /// On the first of each month.
    Monthly,
}

/// Which updates share a pull request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// All of them.
    #[default]
    All,
    /// Those of one registry.
    Registry,
    /// None: each image gets its own.
    Image,
}

/// Whether major versions are proposed with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Majors {
    /// In pull requests of their own.
    Apart,
    /// With the others.
    Together,
}

/// What is merged without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Automerge {
    /// New digests of the same tag.
    Digest,
}

/// How the bots go about it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotSettings {
    /// How often they look.
    pub interval: Interval,
    /// Days that a new version waits; 0 for as long as the bot itself does.
    pub cooldown: u16,
    /// Which updates share a pull request.
    pub groups: GroupBy,
    /// Whether major versions do, where that is said.
    pub majors: Option<Majors>,
    /// Labels of the pull requests.
    pub labels: Vec<String>,
    /// Most pull requests that are open at once.
    pub limit: Option<u16>,
    /// Whether Renovate merges new digests by itself.
    pub automerges_digests: bool,
}

impl Default for BotSettings {
    fn default() -> BotSettings {
        BotSettings {
            interval: Interval::default(),
            cooldown: COOLDOWN,
            groups: GroupBy::default(),
            majors: None,
            labels: Vec::new(),
            limit: None,
            automerges_digests: false,
        }
    }
}

impl Problems<'_> {
    pub(crate) fn bots(&mut self, file: &BotsFile) -> BotSettings {
        let cooldown = file.cooldown.as_ref().map_or(COOLDOWN, |days| *days.get_ref());
        if let Some(days) = file.cooldown.as_ref().filter(|days| *days.get_ref() > 90) {
            self.add(
                days.span(),
                "Dependabot waits at most 90 days",
                "write a number from 0 to 90; 3 is the default",
            );
        }
        if let Some(limit) =
            file.limit.as_ref().filter(|limit| !(1..=100).contains(limit.get_ref()))
        {
            self.add(
                limit.span(),
                "the limit is a number from 1 to 100",
                "leave it out for what the bots have by default",
            );
        }
        for label in &file.labels {
            let text = label.get_ref();
            if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 50 {
                self.add(
                    label.span(),
                    "a label has 1 to 50 characters, none of them a line break",
                    "write the name that it has in the repository",
                );
            }
        }
        BotSettings {
            interval: file.interval,
            cooldown,
            groups: file.groups,
            majors: file.majors,
            labels: file.labels.iter().map(|label| label.get_ref().clone()).collect(),
            limit: file.limit.as_ref().map(|limit| *limit.get_ref()),
            automerges_digests: file.automerge == Some(Automerge::Digest),
        }
    }
}
