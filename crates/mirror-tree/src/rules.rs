//! What is demanded of a tree, and who looks after it.

use std::fmt;

/// What the configuration demands of a tree, from `[check]` in `mirror.toml`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Every reference needs a digest.
    pub require_digest: bool,
    /// A digest without a tag is fine.
    pub allow_digest_only: bool,
    /// Who looks after it.
    pub bots: Bots,
}

/// A bot that proposes newer versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bot {
    /// Dependabot, with `.github/dependabot.yml`.
    Dependabot,
    /// Renovate, with `renovate.json`.
    Renovate,
}

impl fmt::Display for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Bot::Dependabot => "Dependabot",
            Bot::Renovate => "Renovate",
        })
    }
}

/// Which bots look after a tree. Where none is configured, either may be one day.
///
/// ```
/// use mirror_tree::{Bot, Bots};
///
/// assert_eq!(Bots::default().in_use().count(), 2);
/// assert_eq!(Bots::from(Bot::Renovate).only(), Some(Bot::Renovate));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bots {
    /// Dependabot does.
    pub dependabot: bool,
    /// Renovate does.
    pub renovate: bool,
}

impl Bots {
    /// Those that do, or both.
    pub fn in_use(self) -> impl Iterator<Item = Bot> {
        let none = !self.dependabot && !self.renovate;
        let bots = [(Bot::Dependabot, self.dependabot), (Bot::Renovate, self.renovate)];
        bots.into_iter().filter(move |(_, used)| *used || none).map(|(bot, _)| bot)
    }

    /// The one that does, if it is one.
    pub fn only(self) -> Option<Bot> {
        let mut bots = self.in_use();
        let first = bots.next();
        if bots.next().is_some() { None } else { first }
    }
}

impl From<Bot> for Bots {
    fn from(bot: Bot) -> Bots {
        Bots { dependabot: bot == Bot::Dependabot, renovate: bot == Bot::Renovate }
    }
}
